"""Files from outside, JSON most of all: read within bounds, taken apart with every fault noted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from qwen3vl_edge.errors import EdgeError

__all__ = ["Fields", "parse_object", "read_object", "read_text"]

_INT_MAX = 2**53  # the largest integer that every JSON reader keeps exact


def read_text(path: Path, limit_bytes: int, error: type[EdgeError]) -> str:
    """Read `path` as UTF-8 text, whatever its line ends, with plain newlines.

    Raises:
        error: the file cannot be read, is larger than `limit_bytes`, or is not UTF-8.
    """
    raw = _read_bytes(path, limit_bytes, error)
    try:
        return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as failure:
        raise error(f"{path}: not UTF-8 text") from failure


def read_object(path: Path, limit_bytes: int, error: type[EdgeError]) -> dict[str, object]:
    """Read `path` as one JSON object.

    Raises:
        error: the file cannot be read, is larger than `limit_bytes`, or is not a JSON object.
    """
    return parse_object(_read_bytes(path, limit_bytes, error), str(path), error)


def _read_bytes(path: Path, limit_bytes: int, error: type[EdgeError]) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit_bytes:
            raise error(f"{path}: {size} bytes are more than the {limit_bytes} allowed for this file")
        return path.read_bytes()
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})") from failure


def parse_object(raw: bytes, where: str, error: type[EdgeError]) -> dict[str, object]:
    """Parse UTF-8 bytes as one JSON object without duplicate keys, NaN or Infinity.

    Raises:
        error: anything else, named with `where`.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
    except RecursionError as failure:
        raise error(f"{where}: JSON is nested too deeply") from failure
    except ValueError as failure:  # JSONDecodeError, UnicodeDecodeError, too many digits, the hooks below
        raise error(f"{where}: not valid JSON ({failure})") from failure
    if not isinstance(value, dict):
        raise error(f"{where}: a JSON object is expected, found {type(value).__name__}")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} stands there twice")
    return result


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


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
        self.problems.append(f"{self.where}: {key} {what}")

    def section(self, key: str) -> "Fields":
        """Return the object under `key` (empty, with a problem noted, when there is none)."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            self._wrong(key, "an object")
            value = {}
        return Fields(value, f"{self.where}: {key}", self.problems)

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
            self.fault(key, f"is {value}, outside {least}..{most}")
        else:
            return value
        return least

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float:
        """Return a finite number of at least `least`."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not _is_number(value):
            self._wrong(key, "a number")
        elif not least <= value <= _INT_MAX:
            self.fault(key, f"is {value}, outside {least}..{_INT_MAX}")
        else:
            return float(value)
        return 1.0

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

    def integers(self, key: str, *, least: int = 0) -> tuple[int, ...]:
        """Return a list of integers of at least `least`."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(_is_int(item) and least <= item for item in value):
            self._wrong(key, f"a list of integers from {least}")
            return ()
        return tuple(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(_is_number(item) for item in value):
            self._wrong(key, "a list of numbers")
            return ()
        return tuple(float(item) for item in value)

    def _wrong(self, key: str, wanted: str) -> None:
        value = self.values.get(key)
        self.fault(key, "is missing" if value is None else f"is {value!r:.60}, {wanted} is expected")


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
