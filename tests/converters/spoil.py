"""Ways to spoil a sound checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

__all__ = ["edit_json", "rename_tensors", "reshape_tensor"]


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    """Apply `change` to the object in `path`."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def rename_tensors(folder: Path, rename: Callable[[str], str]) -> None:
    """Rename tensors in model.safetensors, data untouched."""
    _edit_header(folder, lambda header: {rename(name): value for name, value in header.items()})


def reshape_tensor(folder: Path, name: str, shape: list[int], dtype: str | None = None) -> None:
    """Give a tensor another shape (of the same size) or dtype, data untouched."""

    def change(header: dict) -> dict:
        header[name]["shape"] = shape
        header[name]["dtype"] = dtype or header[name]["dtype"]
        return header

    _edit_header(folder, change)


def _edit_header(folder: Path, change: Callable[[dict], dict]) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.dumps(change(json.loads(raw[8 : 8 + length]))).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
