"""How a conversation is made to fit: which turns to leave out, which pictures to show smaller."""

from collections.abc import Sequence
from dataclasses import replace

from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.images import Picture, refit
from qwen3vl_edge.limits import ImageLimits, smart_resize
from qwen3vl_edge.messages import Content, Message

__all__ = ["drop_oldest", "shrink_pictures"]

_SLACK = 0.875  # after dropping: else the next turn would drop again, and all would be read again


def drop_oldest(prompt_tokens: Sequence[int], budget: int) -> int:
    """Give how many of the oldest turns to leave out.

    Args:
        prompt_tokens: Tokens of the prompt without the oldest 0, 1, 2 … turns.
        budget: What the prompt may have. A little less is aimed at.

    Raises:
        ContextFullError: The last question alone does not fit.
    """
    if prompt_tokens[-1] > budget:
        raise ContextFullError(
            f"this question alone is {prompt_tokens[-1]} tokens, and {budget} are left beside its answer; "
            "give fewer or smaller pictures, or less text"
        )
    enough = (n for n, tokens in enumerate(prompt_tokens) if tokens <= _SLACK * budget)
    return next(enough, len(prompt_tokens) - 1)


def shrink_pictures(messages: Sequence[Message], n_over: int, limits: ImageLimits) -> list[Message]:
    """Give `messages` with their largest pictures smaller, so that they take `n_over` tokens less.

    All are held under one cap, the highest that is low enough.

    Raises:
        ContextFullError: Even the smallest that the model is shown are too much.
    """
    pictures = [item for message in messages for item in message.content if isinstance(item, Picture)]
    budget = sum(_n_tokens(picture, limits, None) for picture in pictures) - n_over
    low, high = limits.min_pixels // limits.factor**2, limits.max_pixels // limits.factor**2
    if sum(_n_tokens(picture, limits, low) for picture in pictures) > budget:
        raise ContextFullError(
            f"the context is full: {n_over} tokens too many, and the smallest pictures do not save them; "
            "clear or undo turns"
        )
    while low < high:  # low always fits
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
