"""Files from outside, JSON most of all: read within bounds, taken apart with every fault noted."""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.input_files import read_bytes

__all__ = ["Fields", "parse_object", "read_object", "read_text", "shown"]

_INT_MAX = 2**53  # the largest integer that every JSON reader keeps exact

# Bounds the memory and the time that a file can take: half a gigabyte and a few seconds. Qwen3's
# tokenizer.json, the largest that there is, has 606,000 values; so would 235B-FP8's header in one file.
_MAX_VALUES = 1_500_000
_MAX_DIGITS = 1000  # of an integer; Python gives up at 4300
_MAX_KEY = 120  # characters of a key that a message shows
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxlist, _SHOWN.maxdict, _SHOWN.maxstring, _SHOWN.maxlong = 2, 4, 2, 60, 30


def read_text(path: Path, limit_bytes: int, error: type[EdgeError]) -> str:
    """Read `path` as UTF-8 text, whatever its line ends, with plain newlines.

    Raises:
        error: the file cannot be read, is larger than `limit_bytes`, or is not UTF-8.
    """
    raw = read_bytes(path, limit_bytes, error)
    try:
        return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as failure:
        raise error(f"{path}: not UTF-8 text") from failure


def read_object(path: Path, limit_bytes: int, error: type[EdgeError]) -> dict[str, object]:
    """Read `path` as one JSON object.

    Raises:
        error: the file cannot be read, is larger than `limit_bytes`, or is not a JSON object.
    """
    return parse_object(read_bytes(path, limit_bytes, error), str(path), error)


def parse_object(raw: bytes, where: str, error: type[EdgeError]) -> dict[str, object]:
    """Parse UTF-8 bytes as one JSON object of at most a million and a half values.

    Refused beyond what is not JSON: duplicate keys, NaN and Infinity, numbers that overflow, half a
    surrogate pair.

    Raises:
        error: anything else, named with `where`.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > _MAX_VALUES:
        raise error(f"{where}: more than {_MAX_VALUES} values")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as failure:
        raise error(f"{where}: JSON is nested too deeply") from failure
    except UnicodeEncodeError as failure:
        raise error(f"{where}: not valid Unicode (half a surrogate pair)") from failure
    except ValueError as failure:  # JSONDecodeError, UnicodeDecodeError, too many digits, the hooks below
        raise error(f"{where}: not valid JSON ({failure})") from failure
    if not isinstance(value, dict):
        raise error(f"{where}: a JSON object is expected, found {type(value).__name__}")
    return value


def shown(value: object) -> str:
    """Return `value` as it may stand in a message: one line of about a hundred characters at most."""
    return f"{_SHOWN.repr(value):.120}"


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {shown(twice)} stands there twice")
    return result


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text:.20}… has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.30} is too large a number")
    return value


class Fields:
    """One JSON object being taken apart.

    Each accessor returns the value, or notes a problem naming file and key and returns a harmless
    stand-in of the right type, so that one pass finds every fault. Sub-objects share the list.
    """

    def __init__(self, values: Mapping[str, object], where: str, problems: list[str] | None = None) -> None:
        self.values = values
        self.where = where
        self.problems: list[str] = [] if problems is None else problems

    def has(self, key: str) -> bool:
        """Whether `key` is there and not null."""
        return self.values.get(key) is not None

    def fault(self, key: str, what: str) -> None:
        """Note that the value of `key` is wrong: `what` completes the sentence."""
        self.problems.append(f"{self.where}: {_plain(key)} {what}")

    def section(self, key: str) -> "Fields":
        """Return the object under `key` (empty, with a problem noted, when there is none)."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            self._wrong(key, "an object")
            value = {}
        return Fields(value, f"{self.where}: {_plain(key)}", self.problems)

    def sections(self, key: str) -> list["Fields"]:
        """Return the objects of a list."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._wrong(key, "a list of objects")
            return []
        return [Fields(item, f"{self.where}: {key}[{i}]", self.problems) for i, item in enumerate(value)]

    def integer(self, key: str, default: int | None = None, *, least: int = 1, most: int = _INT_MAX) -> int:
        """Return an integer within [least, most]; a missing key gives `default` if there is one."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not _is_int(value):
            self._wrong(key, "an integer")
        elif not least <= value <= most:
            self.fault(key, f"is {shown(value)}, outside {least}..{most}")
        else:
            return value
        return least

    def number(
        self, key: str, default: float | None = None, *, least: float = 0.0, most: float = _INT_MAX
    ) -> float:
        """Return a number within [least, most]; a missing key gives `default` if there is one."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not _is_number(value):
            self._wrong(key, "a number")
        elif not least <= value <= most:
            self.fault(key, f"is {shown(value)}, outside {least:g}..{most:g}")
        else:
            return float(value)
        return least

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self._wrong(key, "a string")
            return ""
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            self._wrong(key, "true or false")
            return False
        return value

    def integers(self, key: str, *, least: int = 0, most: int = _INT_MAX) -> tuple[int, ...]:
        """Return a list of integers within [least, most]."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(_is_int(item) and least <= item <= most for item in value):
            self._wrong(key, f"a list of integers in {least}..{most}")
            return ()
        return tuple(value)

    def numbers(self, key: str, *, least: float, most: float) -> tuple[float, ...]:
        """Return a list of numbers within [least, most]."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(
            _is_number(item) and least <= item <= most for item in value
        ):
            self._wrong(key, f"a list of numbers in {least:g}..{most:g}")
            return ()
        return tuple(float(item) for item in value)

    def _wrong(self, key: str, wanted: str) -> None:
        value = self.values.get(key)
        self.fault(key, "is missing" if value is None else f"is {shown(value)}, {wanted} is expected")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(key: str) -> str:
    """Give a key from a file as it may stand in a message."""
    return key if key.isprintable() and len(key) <= _MAX_KEY else shown(key)
