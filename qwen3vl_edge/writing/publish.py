"""All files of a bundle appear at once, under a lock of their folder, or all is as it was."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from qwen3vl_edge.errors import EdgeError

if sys.platform != "win32":
    import fcntl

__all__ = ["publish", "temporary_path"]

_TEMPORARY = re.compile(r"\.(.+\.gguf|(.+\.)?manifest\.json)\.part")
_ASIDE = re.compile(r"\.(?P<name>.+\.gguf|(.+\.)?manifest\.json)\.old")


def temporary_path(path: Path) -> Path:
    """Return where the file that will be `path` is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def publish(
    paths: Sequence[Path], manifests: Sequence[Path] = (), stale: Sequence[Path] = ()
) -> Iterator[None]:
    """Run the writing of `paths` and `manifests`, all in one folder, under their temporary names.

    On success all take the places of what was there, and what is `stale` disappears; on failure, at any
    moment, all is as it was. What a killed run left there is put right first. Manifests disappear before the
    first file is replaced and come back last, so that a folder that has one is complete.

    Raises:
        EdgeError: another conversion is writing to the folder.
        OSError: a file cannot be renamed.
    """
    folder, new, old = paths[0].parent, [*paths, *manifests], [*manifests, *stale, *paths]
    with _locked(folder) as alone:
        if alone:
            _put_right(folder)
        try:
            yield
            _exchange(new, old)
            _sync_folder(folder)
        except BaseException:  # KeyboardInterrupt too; it goes on after the cleaning
            if not any(
                os.path.lexists(_aside(path)) for path in old
            ):  # else the next run has to put it right
                for path in new:
                    temporary_path(path).unlink(missing_ok=True)
            raise


def _exchange(new: Sequence[Path], old: Sequence[Path]) -> None:
    """Move what is there aside, give the new files their names, and only then remove the old ones."""
    try:
        for path in old:
            if os.path.lexists(path):
                path.replace(_aside(path))
        for path in new:
            temporary_path(path).replace(path)
    except BaseException:  # KeyboardInterrupt too; it goes on after this
        for path in new:
            if not temporary_path(path).exists():
                path.unlink(missing_ok=True)
        for path in old:
            if os.path.lexists(_aside(path)):
                _aside(path).replace(path)
        raise
    for path in old:
        with suppress(OSError):  # all is done; the next run tries again
            _aside(path).unlink(missing_ok=True)


def _put_right(folder: Path) -> None:
    """Remove what a killed run left; if that was in the middle of the exchange, undo it.

    It was as long as a temporary file is there: the last step but that of removing the old files is to give
    the last new one its name.
    """
    inside = [path for path in folder.iterdir() if path.is_file()]
    half_done = [path for path in inside if _TEMPORARY.fullmatch(path.name)]
    for path in inside:
        if found := _ASIDE.fullmatch(path.name):
            place = path.with_name(found["name"])
            if half_done or not os.path.lexists(place):
                path.replace(place)
            else:
                path.unlink()
    for path in half_done:
        path.unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which ends with the process; gives False where there are no such locks."""
    if sys.platform == "win32":  # two conversions into one folder are the user's risk there
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _take_lock(folder, descriptor)
    finally:
        os.close(descriptor)


def _take_lock(folder: Path, descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as failure:
        raise EdgeError(f"{folder}: another conversion is writing here; wait for it") from failure
    except OSError:  # a file system without locks
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the renames last; Windows cannot open folders and needs no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
