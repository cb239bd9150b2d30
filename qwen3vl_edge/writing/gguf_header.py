"""The bytes of a GGUF file before its tensors: header, metadata, tensor table.

Format: ggml/docs/gguf.md, version 3, little-endian.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.gguf_format import ALIGNMENT, MAGIC, SCALAR_FORMATS, Scalar, ValueType

__all__ = ["KeyValue", "TensorEntry", "array", "encode_header", "padding"]

_VERSION = 3


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One metadata entry; for an array, `kind` is that of its items and `value` a tuple."""

    key: str
    kind: ValueType
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One line of the tensor table; `shape` row-major (the file holds it reversed)."""

    name: str
    shape: tuple[int, ...]
    kind: TensorType


def array(key: str, kind: ValueType, values: Sequence[Scalar]) -> KeyValue:
    """Make an entry that holds several values of one kind."""
    return KeyValue(key, kind, tuple(values))


def padding(position: int) -> int:
    """Return the bytes that are missing to the next multiple of the alignment."""
    return -position % ALIGNMENT


def encode_header(metadata: Sequence[KeyValue], tensors: Sequence[TensorEntry]) -> bytes:
    """Encode everything before the tensor data, padded to the alignment.

    Tensors follow in the given order, each padded to the alignment.

    Raises:
        CheckpointError: a string is not valid Unicode.
    """
    parts = [MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    for item in metadata:
        parts += [_text(item.key), _typed_value(item)]
    offset = 0
    for entry in tensors:
        dims = struct.pack(f"<I{len(entry.shape)}Q", len(entry.shape), *reversed(entry.shape))
        parts += [_text(entry.name), dims, struct.pack("<IQ", entry.kind.id, offset)]
        nbytes = entry.kind.nbytes(entry.shape)
        offset += nbytes + padding(nbytes)
    header = b"".join(parts)
    return header + bytes(padding(len(header)))


def _typed_value(item: KeyValue) -> bytes:
    if not isinstance(item.value, tuple):
        return struct.pack("<I", item.kind) + _scalar(item.kind, item.value)
    head = struct.pack("<IIQ", ValueType.ARRAY, item.kind, len(item.value))
    return head + b"".join(_scalar(item.kind, value) for value in item.value)


def _scalar(kind: ValueType, value: Scalar) -> bytes:
    return _text(str(value)) if kind is ValueType.STRING else struct.pack(f"<{SCALAR_FORMATS[kind]}", value)


def _text(value: str) -> bytes:
    try:
        raw = value.encode("utf-8")
    except UnicodeEncodeError as failure:  # JSON can spell half of a surrogate pair
        raise CheckpointError(f"{value!r:.80} is not valid Unicode and cannot be stored") from failure
    return struct.pack("<Q", len(raw)) + raw
