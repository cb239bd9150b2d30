"""Writes planned GGUF files in one pass over their sources: read, cut, encode, write, forget.

Blocks of rows are read and converted by several threads and written by one, in order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import prod
from pathlib import Path

import numpy as np

from qwen3vl_edge.checkpoint import Stored
from qwen3vl_edge.progress import Task
from qwen3vl_edge.writing.encoder import Encoder
from qwen3vl_edge.writing.faults import Faults
from qwen3vl_edge.writing.gguf_header import padding
from qwen3vl_edge.writing.in_order import Job, in_order
from qwen3vl_edge.writing.planned import PlannedFile, PlannedTensor
from qwen3vl_edge.writing.sinks import Piece, Sinks, Written
from qwen3vl_edge.writing.source import Source

__all__ = ["peak_bytes", "write_files"]

# Small enough to stay in a processor's cache between two steps, large enough for a disk.
_BLOCK_BYTES = 4 << 20
_BUDGET_BYTES_PER_THREAD = 64 << 20
_WORK_BYTES_PER_VALUE = 12
_BASE_BYTES = 75 << 20  # Python and numpy, measured
_VOCABULARY_FACTOR = 16  # tokens and merges as objects, against their bytes in a header; measured


@dataclass(frozen=True, slots=True)
class _Output:
    """A tensor of the file of this number."""

    file: int
    tensor: PlannedTensor


def write_files(
    files: Sequence[PlannedFile], paths: Sequence[Path], encoder: Encoder, n_threads: int, task: Task
) -> list[Written]:
    """Write `files` to `paths` and flush them to the disk; each source is read once.

    Raises:
        CheckpointError: values that are not finite or that a type cannot hold, with the names of the
            tensors, or a file of the checkpoint cannot be read.
        OSError: the disk is full or a path cannot be written.
    """
    faults = Faults()
    with Sinks(files, paths, task) as sinks:
        sinks.write_those_without_tensors()
        jobs = _jobs(files, encoder, faults)
        for pieces in in_order(jobs, n_threads, _BUDGET_BYTES_PER_THREAD * n_threads):
            for piece in pieces:
                sinks.write(piece)
        faults.raise_if_any()
        return sinks.written()


def peak_bytes(files: Sequence[PlannedFile], n_threads: int) -> int:
    """Estimate the resident memory that `write_files` needs, all of this program's included."""
    costs = [_cost(source, outputs, rows) for source, outputs, rows in _blocks(files)]
    at_once = min(sum(costs), max(max(costs, default=0), _BUDGET_BYTES_PER_THREAD * n_threads))
    vocabulary = _VOCABULARY_FACTOR * max((len(file.header) for file in files), default=0)
    return _BASE_BYTES + vocabulary + at_once


def _jobs(files: Sequence[PlannedFile], encoder: Encoder, faults: Faults) -> Iterator[Job[list[Piece]]]:
    for source, outputs, rows in _blocks(files):
        yield Job(partial(_convert, source, outputs, rows, encoder, faults), _cost(source, outputs, rows))


def _blocks(files: Sequence[PlannedFile]) -> Iterator[tuple[Source, list[_Output], tuple[int, int]]]:
    """Give each source with all that is made of it, in ranges of rows; sources in the order of the files."""
    outputs: dict[Source, list[_Output]] = {}
    for i, file in enumerate(files):
        for tensor in file.tensors:
            outputs.setdefault(tensor.source, []).append(_Output(i, tensor))
    for source, made in outputs.items():
        for rows in source.ranges(_BLOCK_BYTES):
            yield source, made, rows


def _convert(
    source: Source, outputs: Sequence[_Output], rows: tuple[int, int], encoder: Encoder, faults: Faults
) -> list[Piece]:
    """Read a block and give it to each tensor that is made of it; the last of a tensor brings the padding."""
    stored = source.read(*rows)
    copies = [output for output in outputs if output.tensor.copied]
    whole = stored.reshape(-1).view(np.uint8).data
    pieces = [piece for output in copies for piece in _placed(output, rows[0], whole)]
    encoded = [output for output in outputs if not output.tensor.copied]
    if encoded:
        values = source.decode(stored)
        if faults.passes(source, rows[0], values, [output.tensor.kind for output in encoded]):
            pieces += _encoded(source, values, encoded, rows, encoder)
    return pieces


def _encoded(
    source: Source, values: Stored, outputs: Sequence[_Output], rows: tuple[int, int], encoder: Encoder
) -> Iterator[Piece]:
    """Cut and encode a block of values; tensors that are cut alike, which several files have, together."""

    def cut(output: _Output) -> tuple[str, tuple[int, ...]]:
        return output.tensor.name, output.tensor.shape

    for _, same in groupby(sorted(outputs, key=cut), key=cut):
        wanted = list(same)
        part = wanted[0].tensor.cut.of(values)
        if rows[1] == source.shape[0]:
            n_missing = wanted[0].tensor.shape[0] - source.shape[0]
            part = np.pad(part, [(0, n_missing)] + [(0, 0)] * (part.ndim - 1)) if n_missing else part
        drafts = [output.tensor for output in wanted]
        for output, data in zip(wanted, encoder.encode(part, source.dtype, drafts, rows[0]), strict=True):
            yield from _placed(output, rows[0], data)


def _placed(output: _Output, first_row: int, data: memoryview) -> list[Piece]:
    tensor, start = output.tensor, output.tensor.offset
    position = start + first_row * (tensor.nbytes // tensor.shape[0])
    pieces = [Piece(output.file, position, data)]
    end = start + tensor.nbytes
    if position + len(data) == end and padding(end):
        pieces.append(Piece(output.file, end, memoryview(bytes(padding(end)))))
    return pieces


def _cost(source: Source, outputs: Sequence[_Output], rows: tuple[int, int]) -> int:
    """Estimate the memory of converting a block: as stored, as float32 and at work, as written."""
    n_values = prod(source.shape) // source.shape[0] * (rows[1] - rows[0])
    stored = source.nbytes // source.shape[0] * (rows[1] - rows[0])
    plain = all(output.tensor.copied or output.tensor.kind.name == source.dtype for output in outputs)
    written = sum(output.tensor.nbytes * (rows[1] - rows[0]) // source.shape[0] for output in outputs)
    return stored + written + (0 if plain else n_values * _WORK_BYTES_PER_VALUE)
