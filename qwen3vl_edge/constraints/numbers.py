"""Numbers between bounds, digit by digit: nothing outside the bounds can be written.

Bounds are exact decimals. A number gets at most 15 significant digits: two such decimals that differ
are different doubles (DBL_DIG), so that a bound that is excluded is not reached by rounding.
"""

from dataclasses import dataclass
from decimal import Decimal

from qwen3vl_edge.constraints import charsets
from qwen3vl_edge.constraints.digits import digits, edge, one_of
from qwen3vl_edge.constraints.json_text import INTEGER, NUMBER
from qwen3vl_edge.constraints.nodes import EMPTY, Node, Text, alt, chars, optional, repeat, rule, seq
from qwen3vl_edge.errors import UsageError

__all__ = ["Bound", "Numbers"]

_DIGITS = 15
_END = Decimal(10) ** _DIGITS  # no number that is written reaches it: a bound beyond it is none
_DIGIT = chars(charsets.DIGITS)


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range of numbers; `strict`: the value itself is outside."""

    value: Decimal
    strict: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a schema says about numbers: the ends of their range, where there are any."""

    low: Bound | None = None
    high: Bound | None = None

    def __and__(self, other: "Numbers") -> "Numbers":
        lows = [bound for bound in (self.low, other.low) if bound is not None]
        highs = [bound for bound in (self.high, other.high) if bound is not None]
        return Numbers(
            max(lows, key=lambda bound: (bound.value, bound.strict), default=None),
            min(highs, key=lambda bound: (bound.value, not bound.strict), default=None),
        )

    def excludes(self, other: "Numbers") -> bool:
        """Whether no number lies in both ranges."""
        both = self & other
        if both.low is None or both.high is None or both.low.value < both.high.value:
            return False
        return both.low.value > both.high.value or both.low.strict or both.high.strict

    def node(self, where: str, *, fractions: bool) -> Node:
        """Return the numbers of the range, with digits behind a point or without.

        Raises:
            UsageError: a bound has more than 15 digits.
        """
        if self == Numbers():
            return rule("number", NUMBER) if fractions else rule("integer", INTEGER)
        return _between(self.low, self.high, fractions, where)


def _between(low: Bound | None, high: Bound | None, fractions: bool, where: str) -> Node:
    """Return the numbers from `low` to `high` without exponents; no bound: up to 15 digits."""
    low = None if low is not None and low.value <= -_END else low
    high = None if high is not None and high.value >= _END else high
    for bound in (low, high):
        if bound is not None and bound.value != 0 and _too_fine(bound.value):
            raise UsageError(f"{where}: bound {bound.value} has more than {_DIGITS} digits; round it")
    below = _magnitudes(_not_below_zero(_mirrored(high), strict=True), _mirrored(low), fractions)
    return alt(_magnitudes(_not_below_zero(low, strict=False), high, fractions), seq(Text("-"), below))


def _too_fine(value: Decimal) -> bool:
    first, last = value.normalize().adjusted(), value.normalize().as_tuple().exponent
    return max(first, 0) - min(int(last), 0) >= _DIGITS


def _mirrored(bound: Bound | None) -> Bound | None:
    return None if bound is None else Bound(-bound.value, bound.strict)


def _not_below_zero(low: Bound | None, *, strict: bool) -> Bound:
    """Return the tighter of `low` and zero: -0 is not written."""
    if low is None or low.value < 0 or (low.value == 0 and strict):
        return Bound(Decimal(0), strict)
    return low


def _magnitudes(low: Bound, high: Bound | None, fractions: bool) -> Node:
    """Return the numbers from `low`, which is 0 or more, to `high`, by the number of their whole digits."""
    options: list[Node] = []
    for whole in range(1, _DIGITS + 1):
        least, end = Decimal(10) ** (whole - 1), Decimal(10) ** whole
        if low.value >= end or (high is not None and high.value < (least if whole > 1 else 0)):
            continue
        if high is None and low.value <= least and whole > 1 and not (low.value == least and low.strict):
            return alt(*options, _open_end(whole, fractions))
        start = low if whole == 1 or low.value >= least else Bound(least, strict=False)
        stop = None if high is None or high.value >= end else edge(high.value, high.strict, whole)
        first = edge(start.value, start.strict, whole)
        options.append(digits(first, stop, whole, _DIGITS - whole if fractions else 0))
    return alt(*options)


def _open_end(whole: int, fractions: bool) -> Node:
    """Return the numbers of `whole` to 15 whole digits; no bound is near."""
    tail = optional(seq(Text("."), repeat(_DIGIT, 1, _DIGITS))) if fractions else EMPTY
    return seq(one_of(range(1, 10)), repeat(_DIGIT, whole - 1, _DIGITS - 1), tail)
