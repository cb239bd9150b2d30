r"""Strings of a schema: lengths, patterns and formats.

Formats are regular expressions after RFC 3339 and its neighbours. Each fits some of what the standard
allows and nothing else: no second 60, e-mail addresses and URLs of plain ASCII. The names are those of
JSON Schema 2020-12 (Validation, section 7.3).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jsonschema import FormatChecker

from qwen3vl_edge.constraints import regex
from qwen3vl_edge.constraints.json_text import STRING, STRING_CHAR, quoted, string
from qwen3vl_edge.constraints.nodes import NEVER, Node, Repeat, Seq, repeat, seq, width
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["Strings", "format_checker"]

_LONGEST = 10_000  # the largest minLength and maxLength

# Years 0001 to 9999; 29 February in those that 4 divides, unless 100 does and 400 does not.
_YEAR = r"(?:[1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])"
_BY_4 = r"(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = rf"(?:\d\d{_BY_4}|{_BY_4}00)"
_DAY_TO_28 = r"(?:0[1-9]|1\d|2[0-8])"
_DAYS = (
    rf"(?:0[13578]|1[02])-(?:{_DAY_TO_28}|29|3[01])",
    rf"(?:0[469]|11)-(?:{_DAY_TO_28}|29|30)",
    rf"02-{_DAY_TO_28}",
)
_DATE = rf"(?:{_YEAR}-(?:{'|'.join(_DAYS)})|{_LEAP_YEAR}-02-29)"
_HOURS = r"(?:[01]\d|2[0-3])"
_TIME = rf"{_HOURS}:[0-5]\d:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{_HOURS}:[0-5]\d)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

_FORMATS: Final = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_%+-]{{1,32}}(?:\.[A-Za-z0-9_%+-]{{1,31}})?@{_LABEL}(?:\.{_LABEL}){{1,2}}",
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uri": rf"https?://{_LABEL}(?:\.{_LABEL}){{1,4}}(?:/[A-Za-z0-9._~/-]{{0,200}})?",
}


@dataclass(frozen=True, slots=True)
class Strings:
    """What a schema says about strings.

    Attributes:
        least: The fewest characters.
        most: The most; None: no limit.
        patterns: Each has to be found (``re.search``) in the string.
        formats: Keys of formats that can be held.
    """

    least: int = 0
    most: int | None = None
    patterns: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()

    def __and__(self, other: "Strings") -> "Strings":
        mosts = [most for most in (self.most, other.most) if most is not None]
        return Strings(
            max(self.least, other.least),
            min(mosts, default=None),
            self.patterns | other.patterns,
            self.formats | other.formats,
        )

    def excludes(self, other: "Strings") -> bool:
        """Whether no string fits both."""
        return _above(self.least, other.most) or _above(other.least, self.most)

    def node(self, where: str) -> Node:
        """Return such strings.

        Raises:
            UsageError: a pattern, a format or their combination cannot be held.
        """
        bodies = [_found(pattern, where) for pattern in sorted(self.patterns)]
        bodies += [regex.join(regex.parse(_format(name, where), where)) for name in sorted(self.formats)]
        if len(bodies) > 1:
            raise UsageError(
                f"{where}: several patterns or formats at once cannot be held; write one pattern"
            )
        if bodies:
            return string(quoted(self._within(bodies[0], where)))
        return STRING if self == Strings() else string(self._any(where))

    def _any(self, where: str) -> Node:
        if max(self.least, self.most or 0) > _LONGEST:
            raise UsageError(f"{where}: minLength and maxLength can be {_LONGEST} at most")
        return repeat(STRING_CHAR, self.least, self.most)

    def _within(self, body: Node, where: str) -> Node:
        """Return those of `body` that have as many characters as they may have."""
        least, most = width(body)
        if least >= self.least and (self.most is None or (most is not None and most <= self.most)):
            return body
        if _above(self.least, most) or _above(least, self.most):
            return NEVER
        parts = body.parts if isinstance(body, Seq) else (body,)
        loose = [(i, part) for i, part in enumerate(parts) if _is_loose(part)]
        if len(loose) == 1 and isinstance(loose[0][1], Repeat) and not _is_loose(loose[0][1].body):
            at, part = loose[0]
            fixed = sum(width(other)[0] for other in parts if other is not part)
            return seq(*parts[:at], self._clipped(loose[0][1], fixed), *parts[at + 1 :])
        raise UsageError(
            f"{where}: a pattern with minLength or maxLength cannot be held; write the length into it"
        )

    def _clipped(self, part: Repeat, fixed: int) -> Node:
        """Return `part` as often as the length allows when all the rest has `fixed` characters."""
        size = width(part.body)[0]
        least = max(part.least, -((fixed - self.least) // size))
        mosts = [] if part.most is None else [part.most]
        mosts += [] if self.most is None else [(self.most - fixed) // size]
        return repeat(part.body, least, min(mosts, default=None))


def _is_loose(node: Node) -> bool:
    """Whether the texts of `node` differ in length."""
    least, most = width(node)
    return least != most


def _above(least: int, most: int | None) -> bool:
    return most is not None and least > most


def _found(pattern: str, where: str) -> Node:
    return regex.join(regex.parse(pattern, f"{where}: pattern"), repeat(regex.ANY, 0, None))


def _format(name: str, where: str) -> str:
    if name not in _FORMATS:
        raise UsageError(f"{where}: format {shown(name)} cannot be held; these can: {', '.join(_FORMATS)}")
    return _FORMATS[name]


def format_checker() -> FormatChecker:
    """Return what checks strings against the formats above; those of other formats are left alone."""
    made = FormatChecker(formats=())
    for name, pattern in _FORMATS.items():
        made.checks(name)(_fits(pattern))
    return made


def _fits(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern, re.ASCII)

    def fits(value: object) -> bool:
        return not isinstance(value, str) or compiled.fullmatch(value) is not None

    return fits
