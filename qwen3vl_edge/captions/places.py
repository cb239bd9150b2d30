"""Where a run keeps its journal, and what it locks, so that two runs do not write to the same place."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from qwen3vl_edge.errors import JournalError

__all__ = ["journal_place", "locked", "places_to_lock"]

_JOURNAL_NAME = ".qwen3vl-edge.journal"
_LOCK_NAME = ".qwen3vl-edge.lock"
_OWNER_BYTES = 500
_MOST_FOLDERS = 100


def journal_place(
    paths: Sequence[Path], files: Sequence[Path], *, sidecars: bool, wanted: Path | None = None
) -> Path | None:
    """Name the journal's file: the `wanted` one, else one beside what is written.

    That is ``FILE.journal`` of the first of the record `files`; else, with text files beside pictures,
    ``.qwen3vl-edge.journal`` in the first folder of `paths`, or in the folder of the first file.

    Returns:
        None where nothing is kept, as captions go to the terminal alone.
    """
    if wanted is not None:
        return wanted
    if files:
        return files[0].with_name(f"{files[0].name}.journal")
    return _folders(paths)[0] / _JOURNAL_NAME if sidecars and paths else None


def places_to_lock(
    paths: Sequence[Path], files: Sequence[Path], journal: Path | None, *, sidecars: bool
) -> list[Path]:
    """Name the lock files of a run: of its journal, its record files, and the folders among `paths`.

    Of very many folders, as single files can lie in, the first ones: each lock is an open file.
    """
    written = [*([journal] if journal else ()), *files]
    locks = [path.with_name(f"{path.name}.lock") for path in written]
    folders = dict.fromkeys(_folders(paths)) if sidecars else {}
    return locks + [folder / _LOCK_NAME for folder in islice(folders, _MOST_FOLDERS)]


@contextmanager
def locked(places: Sequence[Path]) -> Iterator[None]:
    """Hold the lock files `places`, and remove them at the end; a killed run's are free, though they stay.

    Raises:
        JournalError: Another run holds one, which is named with the time since when; or one cannot be made.
    """
    with ExitStack() as stack:
        for place in sorted({Path(os.path.realpath(place)) for place in places}):
            stack.enter_context(_lock(place))
        yield


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    if not place.parent.is_dir():  # which would be made
        raise JournalError(f"{place.parent}: no such folder; make it first")
    lock = FileLock(place, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise JournalError(
            f"{place.parent}: another run writes here{_owner(place)}; wait for it, or stop it"
        ) from None
    except OSError as error:
        raise JournalError(
            f"{place}: cannot be made ({error.strerror or error}); make the folder writable, or write "
            "elsewhere with -o FILE"
        ) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds without a name
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            place.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since}", "utf-8")
        yield
    finally:
        with suppress(OSError):  # before it is free: whoever waited sees that it is another file
            place.unlink()
        lock.release()


def _owner(place: Path) -> str:
    try:
        with place.open("rb") as file:
            said = file.read(_OWNER_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return f" ({said})" if said else ""


def _folders(paths: Sequence[Path]) -> list[Path]:
    return [path if path.is_dir() else path.parent for path in paths]
