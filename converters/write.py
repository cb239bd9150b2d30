"""Writes planned GGUF files tensor by tensor: under temporary names, renamed when all is on the disk."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.converters.gguf_header import padding
from qwen3vl_edge.converters.plan import PlannedFile, PlannedTensor
from qwen3vl_edge.converters.transforms import convert_values, temporal_slice
from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.progress import Task

__all__ = ["Written", "publish", "write_planned"]

# Rows are read and converted in blocks of this size, so that a vocabulary of 150,000 rows needs
# no more memory than a layer.
_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is complete on the disk under its temporary name."""

    planned: PlannedFile
    temporary: Path
    size_bytes: int
    sha256: str


def write_planned(planned: PlannedFile, folder: Path, task: Task) -> Written:
    """Write one file into `folder` under a temporary name and flush it to the disk.

    Raises:
        EdgeError: a tensor came out with another size than planned.
        OSError: the disk is full or the folder cannot be written.
    """
    temporary = folder / f".{planned.name}.part"
    with temporary.open("wb") as file:
        sink = _HashingSink(file)
        sink.write(planned.header)
        for tensor in planned.tensors:
            _write_tensor(tensor, sink, task)
        file.flush()
        os.fsync(file.fileno())
    return Written(planned, temporary, sink.size_bytes, sink.sha256())


@contextmanager
def publish(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Run the writing of `names` in `folder`: on success rename all, on any failure leave nothing behind.

    The last name is the manifest's: a folder that has it is complete.
    """
    temporaries = {folder / f".{name}.part": folder / name for name in names}
    begun = list(temporaries)
    try:
        yield
        for temporary, final in temporaries.items():
            temporary.replace(final)
            begun.append(final)
        _sync_folder(folder)
    except BaseException:  # KeyboardInterrupt too; it goes on after the cleaning
        for path in begun:
            path.unlink(missing_ok=True)
        raise


class _HashingSink:
    """A file that counts and hashes what goes into it."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def sha256(self) -> str:
        return self._hash.hexdigest()


def _write_tensor(tensor: PlannedTensor, sink: _HashingSink, task: Task) -> None:
    start = sink.size_bytes
    for block in _blocks(tensor):
        sink.write(memoryview(block.data))
        task.advance(len(block))
    written = sink.size_bytes - start
    if written != tensor.nbytes:
        raise EdgeError(f"{tensor.name}: {written} bytes came out, {tensor.nbytes} were planned")
    sink.write(bytes(padding(written)))
    task.advance(padding(written))


def _blocks(tensor: PlannedTensor) -> Iterator[NDArray[np.uint8]]:
    """Give the tensor's bytes in blocks of whole rows."""
    for stored in tensor.source.chunks(_CHUNK_BYTES):
        values = stored if tensor.frame is None else temporal_slice(stored, tensor.frame)
        yield convert_values(values, tensor.source.dtype, tensor.kind.name)


def _sync_folder(folder: Path) -> None:
    """Make the renames last; Windows cannot open folders and needs no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
