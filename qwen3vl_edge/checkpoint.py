"""The tensors of a Hugging Face checkpoint: names, shapes and dtypes now, values when asked for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import CheckpointError, UsageError, join_problems
from qwen3vl_edge.input_files import check_folder, is_hub_snapshot
from qwen3vl_edge.json_fields import read_object, shown
from qwen3vl_edge.safetensors_header import HeaderEntry, read_header

__all__ = ["Checkpoint", "Stored", "TensorRef", "row_ranges", "to_float32"]

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
# Room for 235B-FP8 with separate experts: 72,000 names of 120 bytes with their file.
_INDEX_LIMIT_BYTES = 32 << 20
_FILE_NAME = re.compile(r"[\w.-]{1,200}\.safetensors")
_PART_NAME = re.compile(r"model(-\d+-of-\d+)?\.safetensors")

Stored = NDArray[np.uint8 | np.uint16 | np.float16 | np.float32]
"""Values as stored: float32, float16, bfloat16 as its 16 bits, eight-bit floats as bytes."""

_STORED_DTYPES: dict[str, type[np.generic]] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "F8_E4M3": np.uint8,
}


def to_float32(stored: Stored, dtype: str) -> NDArray[np.float32]:
    """Give stored values of safetensors `dtype` (F32, F16 or BF16) as float32; exact."""
    if dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32, copy=False)


def row_ranges(n_rows: int, nbytes: int, limit_bytes: int) -> Iterator[tuple[int, int]]:
    """Cut `n_rows`, `nbytes` in all, into ranges of about `limit_bytes`, or of one row."""
    step = max(1, limit_bytes * n_rows // max(nbytes, 1))
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


@dataclass(frozen=True, slots=True)
class TensorRef:
    """One tensor in a safetensors file; `shape` is row-major, the last dimension contiguous."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int

    def read(self) -> Stored:
        """Read the whole tensor, shaped, in the stored dtype."""
        return self._read(0, self.nbytes).reshape(self.shape)

    def float32(self) -> NDArray[np.float32]:
        """Read the whole tensor as float32."""
        return to_float32(self.read(), self.dtype)

    def rows(self, start: int, stop: int) -> Stored:
        """Read rows `start` to `stop` of the first dimension, shaped; a scalar counts as one row, (1,)."""
        n_rows = self.shape[0] if self.shape else 1
        if not 0 <= start <= stop <= n_rows:
            raise CheckpointError(f"{self.path}: {self.name!r} has no rows {start} to {stop} of {n_rows}")
        row_bytes = self.nbytes // max(n_rows, 1)
        block = self._read(start * row_bytes, (stop - start) * row_bytes)
        return block.reshape(stop - start, *self.shape[1:])

    def _read(self, start: int, nbytes: int) -> Stored:
        """Read into a fresh buffer: unlike mapped pages it is gone as soon as the caller drops it."""
        buffer = np.empty(nbytes, dtype=np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + start)
                got = _read_into(file, buffer.data)
        except OSError as failure:
            raise CheckpointError(
                f"{self.path}: {self.name!r} cannot be read ({failure.strerror})"
            ) from failure
        if got != nbytes:
            raise CheckpointError(f"{self.path}: the file ended within {self.name!r}")
        return buffer.view(_STORED_DTYPES[self.dtype])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All tensors of a checkpoint folder, in the order in which the files hold them."""

    folder: Path
    shards: tuple[Path, ...]
    tensors: tuple[TensorRef, ...]

    @classmethod
    def open(cls, folder: Path) -> "Checkpoint":
        """Read index and headers of `folder`, one file or many, and check that they agree.

        Raises:
            UsageError: `folder` is not a checkpoint folder.
            CheckpointError: missing files, names that index and files do not share, faulty headers.
        """
        held = check_folder(folder)
        weight_map = _weight_map(folder / INDEX_NAME) if INDEX_NAME in held else None
        names = [SINGLE_NAME] if weight_map is None else sorted(set(weight_map.values()))
        if "config.json" not in held or (weight_map is None and SINGLE_NAME not in held):
            raise UsageError(
                f"{folder}: not a checkpoint folder; looked for config.json and {SINGLE_NAME} or {INDEX_NAME}"
            )
        _check_files(folder, names, held)
        headers = {name: read_header(folder / name) for name in names}
        _check_names(folder, headers, weight_map)
        refs = [
            TensorRef(entry.name, entry.dtype, entry.shape, folder / name, entry.offset, entry.nbytes)
            for name in names
            for entry in headers[name]
        ]
        return cls(folder, tuple(folder / name for name in names), tuple(refs))


def _check_files(folder: Path, names: list[str], held: frozenset[str]) -> None:
    """Check that the named files are there, and no others that look like parts of the checkpoint.

    In a hub's cache others may lie beside what the index names: each program fetches what it needs.
    """
    missing = [name for name in names if name not in held]
    if missing:
        raise CheckpointError(f"{folder}: the index names files that are not there: {join_problems(missing)}")
    strays = sorted(name for name in held.difference(names) if _PART_NAME.fullmatch(name))
    if strays and not (INDEX_NAME in held and is_hub_snapshot(folder)):
        raise CheckpointError(
            f"{folder}: {join_problems(strays)} would not be read, as {INDEX_NAME} does not name it; "
            "fetch the index again or remove the file"
        )


def _weight_map(path: Path) -> dict[str, str]:
    """Read ``weight_map`` (tensor name -> file name) of an index; file names are plain names."""
    value = read_object(path, _INDEX_LIMIT_BYTES, CheckpointError).get("weight_map")
    if not isinstance(value, dict) or not value:
        raise CheckpointError(f"{path}: weight_map is missing or empty")
    named = {
        name: file for name, file in value.items() if isinstance(file, str) and _FILE_NAME.fullmatch(file)
    }
    faults = [
        f"{path}: weight_map names {shown(value[name])}, a file name ending in .safetensors is expected"
        for name in value
        if name not in named
    ]
    if faults:
        raise CheckpointError(join_problems(faults))
    return named


def _check_names(
    folder: Path, headers: dict[str, list[HeaderEntry]], weight_map: dict[str, str] | None
) -> None:
    held: dict[str, str] = {}
    faults = []
    for file, entries in headers.items():
        for entry in entries:
            if entry.name in held:
                faults.append(f"{shown(entry.name)} stands in both {held[entry.name]} and {file}")
            held[entry.name] = file
    for name, file in sorted((weight_map or {}).items()):
        if held.get(name) != file:
            faults.append(f"{shown(name)} is not in {file}, where the index puts it")
    if weight_map is not None:
        faults += [
            f"{shown(name)} of {file} is not in the index"
            for name, file in held.items()
            if name not in weight_map
        ]
    if faults:
        raise CheckpointError(f"{folder}: {join_problems(faults)}")


def _read_into(file: FileIO, buffer: memoryview) -> int:
    """Fill `buffer` as far as the file goes; a raw read may stop early (2 GiB on Linux)."""
    filled = 0
    while filled < len(buffer):
        got = file.readinto(buffer[filled:])
        if not got:
            break
        filled += got
    return filled
