"""Writes safetensors files with numpy alone, sound ones and others."""

import json
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dtype", "to_stored", "write_raw_safetensors", "write_safetensors", "write_shards"]

Dtype = Literal["BF16", "F16", "F32"]


def to_stored(values: NDArray[np.float32], dtype: Dtype) -> NDArray[np.generic]:
    """Round float32 to the stored dtype (bfloat16 by nearest even, as its 16 bits)."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype = "BF16") -> None:
    """Write one safetensors file, all tensors in `dtype`."""
    item_bytes = 4 if dtype == "F32" else 2
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, values in tensors.items():
        end = offset + prod(values.shape) * item_bytes
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    data = b"".join(to_stored(values, dtype).tobytes() for values in tensors.values())
    write_raw_safetensors(path, header, data)


def write_raw_safetensors(path: Path, header: dict[str, object], data: bytes) -> None:
    """Write a safetensors file with any header, sound or not."""
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def write_shards(folder: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype) -> None:
    """Write three shards and their index."""
    names = list(tensors)
    third = -(-len(names) // 3)
    weight_map = {}
    for i in range(3):
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        part = names[i * third : (i + 1) * third]
        write_safetensors(folder / file, {name: tensors[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
