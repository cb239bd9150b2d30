"""Progress of long work as an object: silent by default, drawn by whoever has a terminal."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["SILENT", "Progress", "Task"]


class Task(Protocol):
    """One running piece of work."""

    def advance(self, amount: int = 1) -> None:
        """Note that `amount` more units are done."""


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, description: str, total: int | None, unit: str) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown), `unit` being "bytes", "images" or the like."""


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        pass


class _SilentProgress:
    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        yield _SilentTask()


SILENT: Progress = _SilentProgress()
"""Reports to nobody."""
