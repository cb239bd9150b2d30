"""The place of a session file on the disk: written whole or not at all, and not over another's turns."""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from qwen3vl_edge.errors import SessionError

__all__ = ["NO_FILE", "FileStamp", "check_place", "write_whole"]

_NAME_CHARACTERS = 40  # of the file's own name in that of the temporary one, which must not be too long


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells a file from what another program puts in its place: each save makes a new inode."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Give the stamp of a file that was looked at."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


NO_FILE = FileStamp(-1, -1, -1)
"""The stamp of a file that is not there yet."""


def check_place(path: Path) -> None:
    """Find out whether a session could be written to `path`, without changing what is there.

    Raises:
        SessionError: Its folder is missing or cannot be written, or there is something that is no file.
    """
    target = _target(path)
    if not target.parent.is_dir():
        raise SessionError(f"{path}: its folder is not there; make it first")
    try:
        _look(target, path)
        descriptor, name = _temporary(target)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        raise _refusal(path, error) from error


def write_whole(path: Path, write: Callable[[BinaryIO], None], replaces: FileStamp | None = None) -> None:
    """Replace `path`, or the file that it leads to, by what `write` writes, or leave it as it is.

    A new file is readable to its owner alone, as it holds what was said; an old one's mode stays.

    Raises:
        SessionError: It cannot be written, or is not the file `replaces` any more.
    """
    target = _target(path)
    try:
        descriptor, name = _temporary(target)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            found = _look(target, path)
            if found is not None:
                temporary.chmod(stat.S_IMODE(found.st_mode))
            _check_same(path, found, replaces)
            temporary.replace(target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error


def _target(path: Path) -> Path:
    """Follow links: what they lead to is replaced, not they."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _refusal(path, error) from error


def _temporary(target: Path) -> tuple[int, str]:
    return tempfile.mkstemp(".part", f".{target.name[:_NAME_CHARACTERS]}.", target.parent)


def _look(target: Path, path: Path) -> os.stat_result | None:
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise SessionError(f"{path}: not a regular file; name another one")
    return found


def _check_same(path: Path, found: os.stat_result | None, replaces: FileStamp | None) -> None:
    now = NO_FILE if found is None else FileStamp.of(found)
    if replaces not in {None, now}:
        raise SessionError(
            f"{path} was changed by another program since it was opened; "
            "save under another name with --session"
        )


def _refusal(path: Path, error: OSError | ValueError) -> SessionError:
    reason = error.strerror if isinstance(error, OSError) else None
    return SessionError(f"{path}: cannot be written ({reason or error})")
