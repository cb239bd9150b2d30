"""How a conversation is made to fit by leaving out its oldest turns."""

from collections.abc import Callable

__all__ = ["n_to_drop"]

_SLACK = 0.875  # after dropping: else the next turn would drop again, and all would be read again


def n_to_drop(n_tokens: Callable[[int], int], n_turns: int, budget: int) -> int:
    """Give how many of the oldest turns to leave out: all, if even that is too little.

    Args:
        n_tokens: Tokens of the prompt without so many of the oldest turns; falls as they grow.
        n_turns: Turns there are.
        budget: What the prompt may have. A little less is aimed at.
    """
    low, high = 0, n_turns  # high does, as far as anything does
    while low < high:
        middle = (low + high) // 2
        if n_tokens(middle) <= _SLACK * budget:
            high = middle
        else:
            low = middle + 1
    return high
