r"""The formats of strings that can be held, as regular expressions of RFC 3339 and its neighbours.

Each fits some of what the standard allows and nothing else: no second 60, e-mail addresses and URLs
of plain ASCII. The names are those of JSON Schema 2020-12 (Validation, section 7.3).
"""

import re
from collections.abc import Callable
from typing import Final

from jsonschema import FormatChecker

__all__ = ["FORMATS", "checker"]

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

FORMATS: Final = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_%+-]{{1,32}}(?:\.[A-Za-z0-9_%+-]{{1,31}})?@{_LABEL}(?:\.{_LABEL}){{1,2}}",
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uri": rf"https?://{_LABEL}(?:\.{_LABEL}){{1,4}}(?:/[A-Za-z0-9._~/-]{{0,200}})?",
}


def checker() -> FormatChecker:
    """Return what checks strings against `FORMATS`; strings of other formats are left alone."""
    made = FormatChecker(formats=())
    for name, pattern in FORMATS.items():
        made.checks(name)(_fits(pattern))
    return made


def _fits(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern, re.ASCII)

    def fits(value: object) -> bool:
        return not isinstance(value, str) or compiled.fullmatch(value) is not None

    return fits
