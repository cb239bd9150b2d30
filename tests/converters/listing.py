"""What a GGUF file holds, as text that can be compared; read with gguf's own reader, not ours."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFReader

__all__ = ["Listing", "read_listing"]

_LONG = 12  # longer arrays and strings are written as their hash


@dataclass(frozen=True)
class Listing:
    """Metadata as ``TYPE value``, tensors as ``TYPE [shape] sha256``, both in the order of the file."""

    metadata: dict[str, str]
    tensors: dict[str, str]


def read_listing(path: Path) -> Listing:
    """Read the whole file; `shape` row-major."""
    reader = GGUFReader(path)
    metadata = {
        key: f"{'/'.join(kind.name for kind in field.types)} {_short(field.contents())}"
        for key, field in reader.fields.items()
        if not key.startswith("GGUF.")
    }
    tensors = {
        tensor.name: f"{tensor.tensor_type.name} {[int(dim) for dim in reversed(tensor.shape)]} "
        f"{hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16]}"
        for tensor in reader.tensors
    }
    return Listing(metadata, tensors)


def _short(value: object) -> str:
    if isinstance(value, list | str) and len(value) > _LONG:
        return f"{len(value)} × sha256 {hashlib.sha256(repr(value).encode()).hexdigest()[:16]}"
    return repr(value)
