"""All files of a bundle appear at once, under a lock of their folder, or none does."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qwen3vl_edge.errors import EdgeError

if sys.platform != "win32":
    import fcntl

__all__ = ["publish", "temporary_path"]

_TEMPORARY = re.compile(r"\.(.+\.gguf|manifest\.json)\.part")


def temporary_path(path: Path) -> Path:
    """Return where the file that will be `path` is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def publish(paths: Sequence[Path], manifest: Path | None = None) -> Iterator[None]:
    """Run the writing of `paths`, all in one folder: on success rename all, on failure leave nothing behind.

    What a killed run left there is removed first. The `manifest` disappears before the first file is
    replaced and comes back last, so that a folder that has one is complete.

    Raises:
        EdgeError: another conversion is writing to the folder.
        OSError: a file cannot be renamed.
    """
    folder = paths[0].parent
    with _locked(folder) as alone:
        if alone:
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name) and path.is_file():
                    path.unlink()
        every = [*paths, *([] if manifest is None else [manifest])]
        begun = [temporary_path(path) for path in every]
        try:
            yield
            if manifest is not None:
                manifest.unlink(missing_ok=True)
            for path in every:
                temporary_path(path).replace(path)
                begun.append(path)
            _sync_folder(folder)
        except BaseException:  # KeyboardInterrupt too; it goes on after the cleaning
            for path in begun:
                path.unlink(missing_ok=True)
            raise


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
