"""Text files beside pictures: found, read, and written whole or not at all."""

import codecs
import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from qwen3vl_edge.captions.modes import Holding
from qwen3vl_edge.errors import JournalError, MediaError

__all__ = ["holding", "read_sidecar", "sidecar_of", "sync_files", "sync_folders", "write_sidecar"]

_LIMIT_BYTES = 1 << 20
_SYNC_THREADS = 16
_OF_THIS_FILE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)
"""Errors that say nothing about the next file: the run goes on."""


def sidecar_of(path: Path, suffix: str) -> Path:
    """Name the text file beside the picture `path`: ``a.jpg`` and ``.txt`` give ``a.txt``."""
    return path.with_name(path.stem + suffix)


def holding(path: Path) -> Holding:
    """Tell what the text file `path` holds; one of blanks alone is empty.

    Raises:
        MediaError: It cannot be read, or is no file.
    """
    raw = _read(path)
    if raw is None:
        return "nothing"
    return "caption" if raw.removeprefix(codecs.BOM_UTF8).strip() else "empty"


def read_sidecar(path: Path) -> str:
    """Read the text file `path`; "" if there is none.

    Raises:
        MediaError: It cannot be read, is no UTF-8 text or larger than a mebibyte.
    """
    raw = _read(path) or b""
    if len(raw) > _LIMIT_BYTES:
        raise MediaError(f"{path}: larger than {_LIMIT_BYTES} bytes; not a caption")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: not UTF-8 text; convert or remove it") from error


def _read(path: Path) -> bytes | None:
    """Read `path` as far as a caption can go and one byte more; None if there is no such file."""
    try:
        # O_NONBLOCK: a pipe of that name would be waited for
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise MediaError(f"{path}: not a regular file")
            return file.read(_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error


def write_sidecar(path: Path, content: bytes) -> None:
    """Replace the text file `path`, or the file that it leads to, by `content`; its mode stays.

    It survives the end of this program at once, a power cut after `sync_files`.

    Raises:
        MediaError: This file cannot be written.
        JournalError: No file can be written: the disk is full, or fails.
    """
    try:
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        if error.errno in _OF_THIS_FILE:
            raise MediaError(f"{path}: cannot be written ({error.strerror})") from error
        raise JournalError(
            f"{path}: cannot be written ({error.strerror}); once it can, run the same command again: "
            "it goes on where it stopped"
        ) from error


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the files `paths`, and their names, are on the disk; those that are gone are passed over.

    Raises:
        JournalError: The disk fails.
    """
    # many at a time: the system makes them sure together, 3 to 5 times as fast as one after the other
    with ThreadPoolExecutor(_SYNC_THREADS) as threads:
        folders = set(threads.map(_sync, paths))
    sync_folders(folder for folder in folders if folder)


def sync_folders(folders: Iterable[Path]) -> None:
    """Wait until the names in `folders` are on the disk, where the system knows how to."""
    if os.name != "posix":
        return
    for folder in folders:
        with suppress(OSError):  # some file systems of the network know no such thing
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sync(path: Path) -> Path | None:
    """Make sure of a file; returns its folder, None if it was moved or taken away."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise JournalError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        os.close(descriptor)
    return path.parent


def _replace(target: Path, content: bytes) -> None:
    """Write under a name that follows from the target's: what a killed run leaves is replaced by the next."""
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    temporary = target.with_name(f".qwen3vl-edge-{name}.part")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        with temporary.open("xb") as file:
            file.write(content)
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
