"""The files that a plan's bytes go into, in whatever order these come."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from qwen3vl_edge.errors import EdgeError, join_problems
from qwen3vl_edge.progress import Task
from qwen3vl_edge.writing.hashed_file import HashedFile
from qwen3vl_edge.writing.planned import PlannedFile

__all__ = ["Piece", "Sinks", "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is complete on the disk."""

    planned: PlannedFile
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes for `position` of the file of this number."""

    file: int
    position: int
    data: memoryview


class Sinks:
    """The files being written: each is opened for its first piece and closed after its last."""

    def __init__(self, files: Sequence[PlannedFile], paths: Sequence[Path], task: Task) -> None:
        self._files, self._paths, self._task = files, paths, task
        self._open: dict[int, HashedFile] = {}
        self._written: dict[int, Written] = {}

    def write(self, piece: Piece) -> None:
        """Write a piece, and what comes before the first or after the last one of its file."""
        if piece.file not in self._open:
            self._begin(piece.file)
        self._open[piece.file].write(piece.position, piece.data)
        self._task.advance(len(piece.data))
        self._end_if_complete(piece.file)

    def _begin(self, number: int) -> None:
        header = self._files[number].header
        self._open[number] = HashedFile(self._paths[number])
        self._open[number].write(0, memoryview(header))
        self._task.advance(len(header))

    def _end_if_complete(self, number: int) -> None:
        if self._open[number].n_hashed == self._files[number].n_bytes:
            self._written[number] = Written(self._files[number], *self._open[number].finish())
            self._open.pop(number).close()

    def write_those_without_tensors(self) -> None:
        """Write the files that no piece is of: parts with nothing but metadata."""
        for number, planned in enumerate(self._files):
            if not planned.tensors:
                self._begin(number)
                self._end_if_complete(number)

    def written(self) -> list[Written]:
        """Return all files, complete.

        Raises:
            EdgeError: fewer bytes came out of a tensor than were planned.
        """
        missing = [file.name for i, file in enumerate(self._files) if i not in self._written]
        if missing:
            raise EdgeError(f"{join_problems(missing)}: not all planned bytes came out")
        return [self._written[i] for i in range(len(self._files))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sink in self._open.values():
            sink.close()
