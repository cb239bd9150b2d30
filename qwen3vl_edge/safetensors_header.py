"""The header of a safetensors file, checked completely before anything in it is used.

Format (huggingface/safetensors 0.8, README "Format"): 8 bytes little-endian length N, N bytes of
JSON ``{name: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the data. Tensors cover the
data without holes or overlaps, each begins at a multiple of its item size.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.input_files import file_size
from qwen3vl_edge.json_fields import Fields, parse_object, shown

__all__ = ["ITEM_BYTES", "HeaderEntry", "read_header"]

# The reference implementation allows 100 MB. The largest header that the family could have, of 235B-FP8
# with separate experts in a single file, would be 72,000 tensors × 165 bytes.
_LIMIT_BYTES = 32 << 20
_MAX_TENSORS = 200_000
_MAX_DIMENSIONS = 8
_MAX_NAME = 256  # characters; the longest published name has 77
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
    if fields.has(_METADATA):
        _check_metadata(fields.section(_METADATA))
    names = [name for name in fields.values if name != _METADATA]
    if len(names) > _MAX_TENSORS:
        raise CheckpointError(f"{path}: {len(names)} tensors are more than the {_MAX_TENSORS} allowed")
    entries = [_entry(fields.section(name), name, data_start) for name in names]
    if not fields.problems:
        entries.sort(key=lambda entry: (entry.offset, entry.nbytes))
        fields.problems += _layout_faults(path, entries, data_start, data_bytes)
    if fields.problems:
        raise CheckpointError(join_problems(fields.problems))
    return entries


def _raw_header(path: Path) -> tuple[bytes, int, int]:
    """Return the header's JSON bytes, where the data starts, and how many bytes of data there are."""
    file_bytes = file_size(path, CheckpointError)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(file_bytes - 8, _LIMIT_BYTES):
                raise CheckpointError(
                    f"{path}: not a whole safetensors file (header of {length} bytes in {file_bytes})"
                )
            raw = file.read(length)
    except OSError as failure:
        raise CheckpointError(f"{path}: cannot be read ({failure.strerror})") from failure
    if not raw.startswith(b"{"):
        raise CheckpointError(f"{path}: not a safetensors file (the header does not begin with {{)")
    return raw, 8 + length, file_bytes - 8 - length


def _check_metadata(fields: Fields) -> None:
    for key in fields.values:
        fields.text(key)


def _entry(fields: Fields, name: str, data_start: int) -> HeaderEntry:
    known = len(fields.problems)
    dtype, shape = fields.text("dtype"), fields.integers("shape")
    offsets = fields.integers("data_offsets")
    begin, end = offsets if len(offsets) == 2 else (0, 0)
    if len(fields.problems) == known:
        if len(name) > _MAX_NAME or not name.isprintable() or not name:
            fields.fault("name", f"is not one of 1 to {_MAX_NAME} printable characters")
        elif dtype not in ITEM_BYTES:
            fields.fault("dtype", f"is {shown(dtype)}, which is not known")
        elif len(offsets) != 2 or begin > end:
            fields.fault("data_offsets", f"is {shown(list(offsets))}, [begin, end] is expected")
        elif begin % ITEM_BYTES[dtype]:
            fields.fault("data_offsets", f"begins at {begin}, which is no multiple of {dtype}'s size")
        elif len(shape) > _MAX_DIMENSIONS:
            fields.fault("shape", f"has {len(shape)} dimensions")
        elif prod(shape) * ITEM_BYTES[dtype] != end - begin:
            fields.fault("shape", f"{shown(list(shape))} of {dtype} does not take {end - begin} bytes")
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
