"""The tensor table of a GGUF file, checked against the file's size."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from qwen3vl_edge.errors import GGUFError, join_problems
from qwen3vl_edge.ggml_types import TYPES_BY_ID, TensorType
from qwen3vl_edge.gguf_format import HeaderReader, ValueType

__all__ = ["GGUFTensor", "read_tensors"]

_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MAX_ELEMENTS = 2**62


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """One tensor; `shape` row-major as in numpy (GGUF reverses it), `offset` from the start of its file."""

    path: Path
    name: str
    type_name: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def n_elements(self) -> int:
        """Return the number of values."""
        return prod(self.shape)


def read_tensors(reader: HeaderReader, count: int, alignment: int) -> tuple[GGUFTensor, ...]:
    """Read `count` lines of the table, where the reader stands; the data follows it.

    Raises:
        GGUFError: every tensor that is doubled, impossible, outside the file or out of place.
    """
    table = [_entry(reader) for _ in range(count)]
    data_start = -(-reader.position // alignment) * alignment
    tensors, problems, names = [], [], set()
    for name, shape, kind, offset in table:
        problem = _fault(shape, kind, offset, alignment, reader.size - data_start)
        if problem or name in names:
            problems.append(f"tensor {name!r:.80} {problem or 'stands there twice'}")
        else:
            tensors.append(
                GGUFTensor(reader.path, name, kind.name, shape, data_start + offset, kind.nbytes(shape))
            )
        names.add(name)
    if not problems:
        problems += _misplaced(tensors, data_start, alignment)
    if problems:
        raise GGUFError(f"{reader.path}: {join_problems(problems)}")
    return tuple(tensors)


def _misplaced(tensors: Sequence[GGUFTensor], data_start: int, alignment: int) -> list[str]:
    """Note tensors that do not follow each other as gguf_init_from_file (ggml/src/gguf.cpp) wants them."""
    problems, expected = [], data_start
    for tensor in tensors:
        if tensor.offset != expected:
            problems.append(f"tensor {tensor.name!r:.80} begins at {tensor.offset}, {expected} is expected")
        expected = -(-(tensor.offset + tensor.nbytes) // alignment) * alignment
    return problems


def _entry(reader: HeaderReader) -> tuple[str, tuple[int, ...], TensorType, int]:
    name, n_dims = reader.text(), reader.unsigned(ValueType.UINT32)
    if not 1 <= n_dims <= _MAX_DIMENSIONS:
        raise GGUFError(f"{reader.path}: tensor {name!r:.80} has {n_dims} dimensions")
    shape = tuple(reversed([reader.unsigned() for _ in range(n_dims)]))
    code, offset = reader.unsigned(ValueType.UINT32), reader.unsigned()
    if code not in TYPES_BY_ID:
        raise GGUFError(
            f"{reader.path}: tensor {name!r:.80} has type {code}, which this version does not know"
        )
    return name, shape, TYPES_BY_ID[code], offset


def _fault(
    shape: tuple[int, ...], kind: TensorType, offset: int, alignment: int, data_bytes: int
) -> str | None:
    """Say what is wrong with one tensor, None if it lies whole within the `data_bytes` of the file."""
    if not 0 < prod(shape) < _MAX_ELEMENTS:
        return f"has the impossible shape {list(shape)}"
    if not kind.fits(shape):
        return f"has rows of {shape[-1]} values, which {kind.name} cannot hold"
    if offset % alignment:
        return f"begins at {offset}, not a multiple of {alignment}"
    if offset + kind.nbytes(shape) > data_bytes:
        return "lies outside the file, which is cut off or damaged"
    return None
