"""How a conversation is made to fit: which turns to leave out, which pictures to show smaller."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from qwen3vl_edge.images import Picture, refit
from qwen3vl_edge.limits import ImageLimits, smart_resize
from qwen3vl_edge.messages import Content, Message

__all__ = ["n_to_drop", "shrink_pictures"]

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


def shrink_pictures(messages: Sequence[Message], n_over: int, limits: ImageLimits) -> list[Message]:
    """Give `messages` with their largest pictures smaller, so that they take `n_over` tokens less.

    All are held under one cap, the highest that is low enough; the smallest that the model is shown,
    if none is.
    """
    pictures = [item for message in messages for item in message.content if isinstance(item, Picture)]
    budget = sum(_n_tokens(picture, limits, None) for picture in pictures) - n_over
    low, high = limits.min_pixels // limits.factor**2, limits.max_pixels // limits.factor**2
    while low < high:
        middle = (low + high + 1) // 2
        fits = sum(_n_tokens(picture, limits, middle) for picture in pictures) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return [
        replace(message, content=tuple(_shrunk(item, limits, low) for item in message.content))
        for message in messages
    ]


def _capped(limits: ImageLimits, cap: int) -> ImageLimits:
    return replace(limits, max_pixels=cap * limits.factor**2)


def _n_tokens(picture: Picture, limits: ImageLimits, cap: int | None) -> int:
    """Count the tokens of a picture as it is, or as it would be under a cap."""
    height, width = map(int, picture.pixels.shape[:2])
    if cap is not None and height * width > cap * limits.factor**2:
        height, width = smart_resize(height, width, _capped(limits, cap))
    return (height // limits.factor) * (width // limits.factor)


def _shrunk(item: Content, limits: ImageLimits, cap: int) -> Content:
    if isinstance(item, Picture) and _n_tokens(item, limits, cap) < _n_tokens(item, limits, None):
        height, width, _ = item.pixels.shape
        return refit(item, *smart_resize(height, width, _capped(limits, cap)))
    return item
