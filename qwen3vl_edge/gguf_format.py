"""GGUF's metadata values, and a bounded reader of its header.

Format: ggml/docs/gguf.md, version 3 (version 2 has the same layout), little-endian only.
"""

import mmap
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from qwen3vl_edge.errors import GGUFError

__all__ = [
    "ALIGNMENT",
    "MAGIC",
    "SCALAR_FORMATS",
    "GGUFArray",
    "HeaderReader",
    "Scalar",
    "Value",
    "ValueType",
]

MAGIC = b"GGUF"
ALIGNMENT = 32  # GGUF_DEFAULT_ALIGNMENT, bytes


class ValueType(IntEnum):
    """Types of metadata values (enum gguf_type in ggml/include/gguf.h)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALAR_FORMATS = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "?",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}

Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True)
class GGUFArray:
    """An array in the metadata that stays in the file until `values` is called."""

    path: Path
    item_type: ValueType
    count: int
    offset: int

    def values(self) -> list[Scalar]:
        """Read the items.

        Raises:
            GGUFError: the file changed or is damaged.
        """
        with HeaderReader(self.path) as reader:
            reader.position = self.offset
            return [reader.scalar(self.item_type) for _ in range(self.count)]


Value = Scalar | GGUFArray


class HeaderReader:
    """Reads values one after the other from a mapped GGUF file, never past its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        try:
            self.size = path.stat().st_size
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as failure:  # mmap raises ValueError for an empty file
            raise GGUFError(f"{path}: cannot be read ({failure})") from failure

    def __enter__(self) -> "HeaderReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def take(self, nbytes: int) -> bytes:
        """Read `nbytes` raw bytes."""
        if not 0 <= nbytes <= self.size - self.position:
            raise GGUFError(f"{self.path}: the header runs past the end of the file at byte {self.position}")
        start, self.position = self.position, self.position + nbytes
        return self._data[start : self.position]

    def number(self, kind: ValueType) -> int | float | bool:
        """Read one number or boolean."""
        (value,) = struct.unpack(f"<{SCALAR_FORMATS[kind]}", self.take(struct.calcsize(SCALAR_FORMATS[kind])))
        return value  # type: ignore[no-any-return]

    def unsigned(self, kind: ValueType = ValueType.UINT64) -> int:
        """Read a length, a count or an identifier."""
        return int(self.number(kind))

    def text(self) -> str:
        """Read a string."""
        raw = self.take(self.unsigned())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as failure:
            raise GGUFError(f"{self.path}: a string before byte {self.position} is not UTF-8") from failure

    def scalar(self, kind: ValueType) -> Scalar:
        """Read a string, number or boolean."""
        return self.text() if kind is ValueType.STRING else self.number(kind)

    def kind(self) -> ValueType:
        """Read the type of a value."""
        code = self.unsigned(ValueType.UINT32)
        try:
            return ValueType(code)
        except ValueError as failure:
            raise GGUFError(f"{self.path}: unknown metadata type {code} at byte {self.position}") from failure

    def value(self, kind: ValueType) -> Value:
        """Read a value of this type; an array is passed over and returned as `GGUFArray`."""
        return self._array() if kind is ValueType.ARRAY else self.scalar(kind)

    def _array(self) -> GGUFArray:
        item_type, count = self.kind(), self.unsigned()
        if item_type is ValueType.ARRAY:
            raise GGUFError(f"{self.path}: arrays of arrays are not supported (byte {self.position})")
        array = GGUFArray(self.path, item_type, count, self.position)
        if item_type is ValueType.STRING:
            self._skip_strings(count)
        else:
            self.skip(count * struct.calcsize(SCALAR_FORMATS[item_type]))
        return array

    def skip(self, nbytes: int) -> None:
        """Pass over `nbytes` without copying them."""
        if nbytes > self.size - self.position:
            raise GGUFError(f"{self.path}: an array runs past the end of the file at byte {self.position}")
        self.position += nbytes

    def _skip_strings(self, count: int) -> None:
        """Pass over `count` strings; a vocabulary has 150,000, so this loop does nothing but add lengths."""
        length, data, position = struct.Struct("<Q").unpack_from, self._data, self.position
        try:
            for _ in range(count):
                position += 8 + length(data, position)[0]
        except struct.error as failure:
            raise GGUFError(f"{self.path}: an array of strings runs past the end of the file") from failure
        self.skip(position - self.position)
