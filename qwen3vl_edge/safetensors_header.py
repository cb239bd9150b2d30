"""The header of a safetensors file, checked completely before anything in it is used.

Format (huggingface/safetensors 0.8, README "Format"): 8 bytes little-endian length N, N bytes of
JSON ``{name: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the data. Tensors cover the
data without holes or overlaps.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, parse_object

__all__ = ["ITEM_BYTES", "HeaderEntry", "read_header"]

_LIMIT_BYTES = 100_000_000  # MAX_HEADER_SIZE of the reference implementation
_MAX_DIMENSIONS = 8
_METADATA = "__metadata__"

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


@dataclass(frozen=True, slots=True)
class HeaderEntry:
    """One tensor of the header; `offset` in bytes from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def read_header(path: Path) -> list[HeaderEntry]:
    """Read and check the header of `path`; entries come in the order of their data.

    Raises:
        CheckpointError: the file cannot be read, or every fault of its header in one line.
    """
    raw, data_start, data_bytes = _raw_header(path)
    fields = Fields(parse_object(raw, str(path), CheckpointError), str(path))
    names = [name for name in fields.values if name != _METADATA]
    entries = [_entry(fields.section(name), name, data_start) for name in names]
    if not fields.problems:
        entries.sort(key=lambda entry: (entry.offset, entry.nbytes))
        fields.problems += _layout_faults(path, entries, data_start, data_bytes)
    if fields.problems:
        raise CheckpointError(join_problems(fields.problems))
    return entries


def _raw_header(path: Path) -> tuple[bytes, int, int]:
    """Return the header's JSON bytes, where the data starts, and how many bytes of data there are."""
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if file_bytes < 8 or length > min(file_bytes - 8, _LIMIT_BYTES):
                raise CheckpointError(
                    f"{path}: not a whole safetensors file (header of {length} bytes in {file_bytes})"
                )
            return file.read(length), 8 + length, file_bytes - 8 - length
    except OSError as failure:
        raise CheckpointError(f"{path}: cannot be read ({failure.strerror})") from failure


def _entry(fields: Fields, name: str, data_start: int) -> HeaderEntry:
    known = len(fields.problems)
    dtype, shape = fields.text("dtype"), fields.integers("shape")
    offsets = fields.integers("data_offsets")
    begin, end = offsets if len(offsets) == 2 else (0, 0)
    if len(fields.problems) == known:
        if dtype not in ITEM_BYTES:
            fields.fault("dtype", f"is {dtype!r:.20}, which is not known")
        elif len(offsets) != 2 or begin > end:
            fields.fault("data_offsets", f"is {list(offsets)!r:.60}, [begin, end] is expected")
        elif len(shape) > _MAX_DIMENSIONS:
            fields.fault("shape", f"has {len(shape)} dimensions")
        elif prod(shape) * ITEM_BYTES[dtype] != end - begin:
            fields.fault("shape", f"{list(shape)} of {dtype} does not take {end - begin} bytes")
    return HeaderEntry(name, dtype, shape, data_start + begin, end - begin)


def _layout_faults(path: Path, entries: list[HeaderEntry], data_start: int, data_bytes: int) -> list[str]:
    faults, reached = [], data_start
    for entry in entries:
        if entry.offset != reached:
            what = "overlaps the tensor before it" if entry.offset < reached else "leaves a hole before it"
            faults.append(f"{path}: {entry.name!r} {what}")
        reached = max(reached, entry.offset + entry.nbytes)
    if reached != data_start + data_bytes:
        faults.append(
            f"{path}: the tensors take {reached - data_start} bytes of data, the file has {data_bytes}"
        )
    return faults
