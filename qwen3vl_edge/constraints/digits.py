"""Decimals between two edges, digit by digit: where an edge runs along, the next digit keeps to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from qwen3vl_edge.constraints import charsets
from qwen3vl_edge.constraints.nodes import EMPTY, NEVER, Node, Text, alt, chars, optional, repeat, seq

__all__ = ["Edge", "digits", "edge", "one_of"]

_DIGIT = chars(charsets.DIGITS)


@dataclass(frozen=True, slots=True)
class Edge:
    """What the digits still to be written are compared with; after `digits` there are zeros."""

    digits: str
    strict: bool

    @property
    def zero(self) -> bool:
        """Whether only zeros are left."""
        return not self.digits.strip("0")

    def next(self) -> tuple[int, "Edge"]:
        """Return the next digit and what is left behind it."""
        return int(self.digits[:1] or 0), Edge(self.digits[1:], self.strict)


def edge(value: Decimal, strict: bool, whole: int) -> Edge:
    """Return `value` as digits, `whole` of them before the point."""
    text = f"{value:f}"
    before, _, after = text.partition(".")
    return Edge(before.lstrip("0").rjust(whole, "0") + after, strict)


def digits(low: Edge | None, high: Edge | None, whole: int, after: int) -> Node:
    """Return `whole` digits, then a point and up to `after` digits, from `low` to `high`."""
    if low is not None and low.zero and not low.strict:
        low = None
    if whole == 0:
        ends = EMPTY if _may_end(low, high) else NEVER
        tail = seq(Text("."), _step(low, high, 0, after)) if after else NEVER
        return alt(tail, ends)
    return _step(low, high, whole, after)


def _fraction(low: Edge | None, high: Edge | None, left: int) -> Node:
    """Return up to `left` more digits behind the point."""
    if low is not None and low.zero and not low.strict:
        low = None
    if low is None and high is None:
        return repeat(_DIGIT, 0, left)
    if low is None and high is not None and high.zero:
        return NEVER if high.strict else repeat(Text("0"), 0, left)
    if high is None and low is not None and low.zero:
        # Not all zeros: what comes behind the first other digit brings it no nearer to the bound.
        zeros = repeat(Text("0"), 0, left - 1)
        return seq(zeros, one_of(range(1, 10)), repeat(_DIGIT, 0, left))
    ends = EMPTY if _may_end(low, high) else NEVER
    return alt(_step(low, high, 0, left), ends) if left else ends


def _step(low: Edge | None, high: Edge | None, whole: int, after: int) -> Node:
    """Return one digit and what may follow it."""
    if low is None and high is None:
        return _free(whole, after)
    options: dict[Node, list[int]] = {}
    for digit in range(10):
        (above, lower), (below, upper) = _after(low, digit, 1), _after(high, digit, -1)
        if above and below:
            rest = digits(lower, upper, whole - 1, after) if whole else _fraction(lower, upper, after - 1)
            options.setdefault(rest, []).append(digit)
    return alt(*(seq(one_of(same), rest) for rest, same in options.items()))


def _after(edge: Edge | None, digit: int, sign: int) -> tuple[bool, Edge | None]:
    """Return whether `digit` keeps to `edge`, and what is left of the edge behind it (None: nothing).

    `sign` is 1 for a lower edge and -1 for an upper one.
    """
    if edge is None:
        return True, None
    own, rest = edge.next()
    return (True, rest) if digit == own else ((digit - own) * sign > 0, None)


def _may_end(low: Edge | None, high: Edge | None) -> bool:
    """Whether zeros from here on lie between the edges."""
    return (low is None or (low.zero and not low.strict)) and (
        high is None or not high.zero or not high.strict
    )


def _free(whole: int, after: int) -> Node:
    if whole == 0:
        return repeat(_DIGIT, 1, after)
    tail = optional(seq(Text("."), repeat(_DIGIT, 1, after))) if after else EMPTY
    return seq(repeat(_DIGIT, whole, whole), tail)


def one_of(choices: Iterable[int]) -> Node:
    """Return one of some digits."""
    return chars(charsets.of_text("".join(map(str, choices))))
