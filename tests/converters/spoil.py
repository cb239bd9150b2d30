"""Ways to spoil a sound checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.tiny_checkpoint import TinyShape

__all__ = [
    "SMALL",
    "edit_header",
    "edit_index",
    "edit_json",
    "put_values",
    "rename_tensors",
    "reshape_tensor",
]

SMALL = TinyShape(
    hidden=32,
    ffn=40,
    n_layers=2,  # with one for each of deepstack and no more, llama.cpp aborts
    n_heads=2,
    n_kv_heads=1,
    head_dim=24,
    mrope_section=(4, 4, 4),
    vocab_size=296,
    vision_hidden=16,
    vision_ffn=24,
    vision_layers=2,
    vision_heads=2,
    n_positions=4,
    deepstack=(0,),
)
"""As little as there can be: what it is spoilt for is done again and again."""


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    """Apply `change` to the object in `path`."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_index(folder: Path, **changes: object) -> None:
    """Put tensors into other files; None takes a tensor out of the index."""

    def change(index: dict) -> None:
        for name, file in changes.items():
            if file is None:
                del index["weight_map"][name]
            else:
                index["weight_map"][name] = file

    edit_json(folder / "model.safetensors.index.json", change)


def edit_header(folder: Path, change: Callable[[dict], object]) -> None:
    """Apply `change` to the header of model.safetensors, data untouched."""
    path = folder / "model.safetensors"
    header, data = _split(path)
    change(header)
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def rename_tensors(folder: Path, rename: Callable[[str], str]) -> None:
    """Rename tensors in model.safetensors, data untouched."""

    def change(header: dict) -> None:
        entries = list(header.items())
        header.clear()
        header.update((rename(name), value) for name, value in entries)

    edit_header(folder, change)


def reshape_tensor(folder: Path, name: str, shape: list[int], dtype: str | None = None) -> None:
    """Give a tensor another shape (of the same size) or dtype, data untouched."""
    edit_header(folder, lambda header: header[name].update(shape=shape, dtype=dtype or header[name]["dtype"]))


def put_values(folder: Path, name: str, value: float) -> None:
    """Fill a BF16 tensor of model.safetensors with one value."""
    path = folder / "model.safetensors"
    header, data = _split(path)
    begin, end = header[name]["data_offsets"]
    bits = (np.array([value], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    filled = bytearray(data)
    filled[begin:end] = bits.tobytes() * ((end - begin) // 2)
    path.write_bytes(path.read_bytes()[: -len(data)] + filled)


def _split(path: Path) -> tuple[dict, bytes]:
    """Return the header and the data."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]
