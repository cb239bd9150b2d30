"""The SHA-256 of a file's bytes, worked out once for a file that stays as it is."""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.paths import user_cache_dir

__all__ = ["FileState", "content_sha256", "file_state"]

_RECORD_BYTES = 16 << 10  # a path can be long
_SETTLED_NS = 2_000_000_000  # what has changed since then may change again within one tick of its clock

FileState = list[str | int]
"""Place, inode, size and times of change: tells a file, unchanged, from any other."""


def content_sha256(path: Path) -> str:
    """Hash all bytes of `path`.

    A gigabyte takes half a second to a second; it is done once, then the cache folder remembers it for
    this file as it was.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        before = file_state(path, os.fstat(file.fileno()))
        known = _remembered(before)
        if known is not None:
            return known
        found = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
    last_change_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    if file_state(path, status) == before and last_change_ns + _SETTLED_NS < time.time_ns():
        with suppress(OSError):  # without a record the file is hashed again, no more
            _remember(before, found)
    return found


def file_state(path: Path, status: os.stat_result | None = None) -> FileState:
    """Tell this file, unchanged, from any other; the time of its status cannot be set back.

    Raises:
        OSError: The file is not there.
    """
    status = status or path.stat()
    place = str(path.resolve())
    return [place, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _record(state: FileState) -> Path:
    """Name where the hash of a place is remembered: one record for each, however often it changes."""
    name = hashlib.sha256(os.fsencode(str(state[0]))).hexdigest()
    return user_cache_dir() / "identities" / f"{name}.json"


def _remembered(state: FileState) -> str | None:
    try:
        match json.loads(read_bytes(_record(state), _RECORD_BYTES, EdgeError)):
            case {"state": list(known), "sha256": str(found)} if known == state:
                return found
    except (EdgeError, ValueError):  # no record, or a damaged one
        pass
    return None


def _remember(state: FileState, found: str) -> None:
    """Write so that no reader ever sees a part of it."""
    path = _record(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps({"state": state, "sha256": found}), "utf-8")
    draft.replace(path)
