"""Sets of characters as ascending, separate, inclusive ranges of code points."""

import string
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache

__all__ = [
    "DIGITS",
    "POSSIBLE",
    "PRINTABLE",
    "SPACES",
    "WORD",
    "Ranges",
    "all_digits",
    "all_spaces",
    "all_word",
    "complement",
    "contains",
    "intersection",
    "of_text",
    "union",
]

Ranges = tuple[tuple[int, int], ...]
"""``((first, last), …)``: both belong to the set."""

_LAST = 0x10FFFF

POSSIBLE: Ranges = ((1, 0xD7FF), (0xE000, _LAST))
"""What answers can hold: not NUL, where tokens end for llama.cpp, and no surrogates, which UTF-8 lacks."""

PRINTABLE: Ranges = ((0x20, 0x7E), (0xA0, 0xD7FF), (0xE000, _LAST))
"""All of these but the control characters."""


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """Return the characters of all `sets`."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(pair for ranges in sets for pair in ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Return every other code point."""
    bounds = [-1, *(bound for pair in ranges for bound in pair), _LAST + 1]
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in pairs if low + 1 <= high - 1)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """Return the characters of both."""
    return complement(union(complement(one), complement(other)))


def contains(ranges: Ranges, char: str) -> bool:
    """Whether `char` is one of `ranges`."""
    point = ord(char)
    i = bisect_right(ranges, (point, _LAST))
    return i > 0 and point <= ranges[i - 1][1]


def of_text(text: str) -> Ranges:
    """Return the characters of `text`."""
    return union((ord(char), ord(char)) for char in text)


DIGITS = of_text(string.digits)
WORD = of_text(string.ascii_letters + string.digits + "_")
SPACES = of_text(" \t\n\r")
"""White space that a model may write: `\\v` and `\\f` are control characters."""


def all_digits() -> Ranges:
    r"""Return what ``\d`` of Python's re matches: more than ASCII."""
    return _where(str.isdecimal)


def all_word() -> Ranges:
    r"""Return what ``\w`` of Python's re matches."""
    return union(_where(str.isalnum), of_text("_"))


def all_spaces() -> Ranges:
    r"""Return what ``\s`` of Python's re matches."""
    return _where(str.isspace)


@lru_cache(maxsize=3)
def _where(holds: Callable[[str], bool]) -> Ranges:
    return union((point, point) for point in range(_LAST + 1) if holds(chr(point)))
