"""What is left of an answer that went in circles."""

import re

__all__ = ["without_repetition"]

_LEAST_ROUNDS = 3


# where a round may end, best first: with a sentence, with a clause
_ENDS = (re.compile(r"[.!?…。！？]+[\"'”’»)」』]*"), re.compile(r"[,;:，、\n]"))


def without_repetition(text: str) -> str:
    """Cut `text` after the first round of what it repeats at its end; a last round may be unfinished.

    A round is repeated at least three times, letter for letter: what the loop guard stops
    (`runtime.loops`) repeats its tokens, and so its letters. Where a round begins is anybody's guess: it
    is taken to end with the first sentence, or else clause, that ends behind one round's length. Linear in
    the length of `text`.
    """
    period, length = _shortest_loop(text[::-1])
    if not period:
        return text
    round_end = len(text) - length + period
    return text[: _end(text, round_end, round_end + period)].rstrip(" ,;:\n\t-–—")


def _end(text: str, least: int, most: int) -> int:
    for ends in _ENDS:
        for found in ends.finditer(text, max(0, least - 4), most):
            if found.end() >= len(text[:least].rstrip()):
                return found.end()
    return least


def _shortest_loop(text: str) -> tuple[int, int]:
    """Give (period, length) of the longest stretch at the beginning of `text` that is a loop, or (0, 0).

    By the Z-function: ``z[p]`` letters from `p` on are those from 0 on, so p + z[p] letters have period p.
    """
    best = (0, 0)
    left = right = 0
    z = [0] * len(text)
    for i in range(1, len(text)):
        z[i] = min(right - i, z[i - left]) if i < right else 0
        while i + z[i] < len(text) and text[z[i]] == text[i + z[i]]:
            z[i] += 1
        if i + z[i] > right:
            left, right = i, i + z[i]
        length = i + z[i]
        if length >= _LEAST_ROUNDS * i and length > best[1]:
            best = (i, length)
    return best
