"""Writes safetensors files with numpy alone, sound ones and others."""

import json
from collections.abc import Callable, Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Dtype",
    "Stored",
    "from_stored",
    "read_stored",
    "to_stored",
    "write_raw_safetensors",
    "write_safetensors",
    "write_shards",
    "write_stored",
    "write_streamed",
]

Dtype = Literal["BF16", "F16", "F32"]

_NUMPY: dict[str, type[np.generic]] = {
    "BF16": np.uint16,
    "F16": np.float16,
    "F32": np.float32,
    "F8_E4M3": np.uint8,
}


class Stored(NamedTuple):
    """One tensor as the file holds it: bfloat16 as its 16 bits, eight-bit floats as bytes."""

    dtype: str
    values: NDArray[np.generic]


def to_stored(values: NDArray[np.float32], dtype: Dtype) -> NDArray[np.generic]:
    """Round float32 to the stored dtype (bfloat16 by nearest even, as its 16 bits)."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_stored(values: NDArray[np.generic], dtype: str) -> NDArray[np.float32]:
    """Give stored values of dtype BF16, F16 or F32 as float32; exact."""
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def write_safetensors(path: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype = "BF16") -> None:
    """Write one safetensors file, all tensors in `dtype`."""
    write_stored(path, {name: Stored(dtype, to_stored(values, dtype)) for name, values in tensors.items()})


def write_stored(path: Path, tensors: Mapping[str, Stored]) -> None:
    """Write one safetensors file, each tensor in its own dtype."""
    shapes = {name: (stored.dtype, stored.values.shape) for name, stored in tensors.items()}
    write_streamed(path, shapes, lambda name: [tensors[name].values.tobytes()])


def write_streamed(
    path: Path,
    shapes: Mapping[str, tuple[str, tuple[int, ...]]],
    data: Callable[[str], Iterable[bytes | memoryview]],
) -> None:
    """Write one safetensors file of name -> (dtype, shape), the bytes of each tensor as `data` gives them."""
    with path.open("wb") as file:
        file.write(_encoded(_header(shapes)))
        for name in shapes:
            file.writelines(data(name))


def write_raw_safetensors(path: Path, header: dict[str, object], data: bytes) -> None:
    """Write a safetensors file with any header, sound or not."""
    path.write_bytes(_encoded(header) + data)


def write_shards(folder: Path, tensors: Mapping[str, Stored]) -> None:
    """Write three shards and their index."""
    names = list(tensors)
    third = -(-len(names) // 3)
    weight_map = {}
    for i in range(3):
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        part = names[i * third : (i + 1) * third]
        write_stored(folder / file, {name: tensors[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")


def read_stored(path: Path) -> dict[str, Stored]:
    """Read a sound safetensors file back."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(raw[start + begin : start + end], _NUMPY[entry["dtype"]])
        tensors[name] = Stored(entry["dtype"], values.reshape(entry["shape"]))
    return tensors


def _header(shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, object]:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in shapes.items():
        end = offset + prod(shape) * np.dtype(_NUMPY[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    return header


def _encoded(header: dict[str, object]) -> bytes:
    """Return the file up to its data: length, JSON, spaces up to a multiple of 8."""
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw
