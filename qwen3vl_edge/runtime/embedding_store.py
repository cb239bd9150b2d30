"""Encoder outputs on the disk, a file for each, within a bound of bytes."""

import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.embedding_file import (
    KEY_BYTES,
    DamageError,
    ForeignError,
    entry_bytes,
    is_free,
    open_entry,
    read_entry,
    write_entry,
)

__all__ = ["EmbeddingStore"]

_KEY = rf"[0-9a-f]{{{2 * KEY_BYTES}}}"
_NAME = re.compile(rf"{_KEY}\.embedding|\.{_KEY}\.\w+\.part")  # finished or not
_log = logging.getLogger("qwen3vl_edge.runtime")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    n_bytes: int
    used_ns: int


class EmbeddingStore:
    """The entries in `folder`, which is made when it is needed, of at most `limit_bytes` together.

    No failure of the disk is an error here: what cannot be read is not there, and after the first
    failure to write, of which the log is warned, nothing more is written.

    Processes need no lock. An entry gets its name whole, by a rename, and is never changed: a reader has one
    version or another to its end, even if it is removed meanwhile. Two writers of one key write the same
    values. Two that make room may both remove a file, or one that a third was about to read, which costs
    an encoding. Unfinished files count as well, so together they exceed the limit by no more than one entry
    for each that writes at the same moment, until the next entry is written.

    Only regular files that have the name of an entry and begin as one (or hold nothing, as a crash of
    the machine can leave them) are ever read, replaced or removed.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._writes = True

    def has(self, key: bytes) -> bool:
        """Tell whether there is an entry, sound or not."""
        with suppress(OSError):
            return stat.S_ISREG(self._path(key).lstat().st_mode)
        return False

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Read an entry, shape (n_tokens, width), and note that it was used; a damaged one is removed."""
        path = self._path(key)
        try:
            with open_entry(path) as file:
                values = read_entry(file, key)
                with suppress(OSError):  # of a read-only folder
                    os.utime(file.fileno() if os.utime in os.supports_fd else path)
                return values
        except (FileNotFoundError, ForeignError):
            return None
        except (OSError, DamageError) as failure:
            _log.warning("%s: cannot be used, its picture is encoded again: %s", path, failure)
            if isinstance(failure, DamageError):
                _remove(path)
            return None

    def put(self, key: bytes, embeddings: NDArray[np.float32]) -> None:
        """Keep `embeddings`, shape (n_tokens, width); the entries longest unused make room for it."""
        values = np.ascontiguousarray(embeddings, "<f4")
        n_bytes = entry_bytes(values)
        if not self._writes or n_bytes is None or n_bytes > self._limit_bytes:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # pictures can be private
            self._make_room(n_bytes)
            self._write(key, values)
        except OSError as failure:
            self._writes = False
            _log.warning(
                "%s: encoded pictures are no longer kept there (%s); make room or choose another folder",
                self._folder,
                failure.strerror or failure,
            )

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}.embedding"

    def _write(self, key: bytes, values: NDArray[np.float32]) -> None:
        path = self._path(key)
        if not is_free(path):
            _log.debug("%s: not an entry; left as it is", path)
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{key.hex()}.", suffix=".part", dir=self._folder)
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write_entry(file, key, values)
            # another writer needed the room; on Windows, a reader has the old file open
            with suppress(FileNotFoundError, PermissionError):
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _make_room(self, n_bytes: int) -> None:
        files = sorted(self._files(), key=lambda file: file.used_ns)
        total = n_bytes + sum(file.n_bytes for file in files)
        for file in files:
            if total <= self._limit_bytes:
                break
            if _remove(file.path):
                total -= file.n_bytes

    def _files(self) -> Iterator[_File]:
        """Give what has the name of an entry."""
        with os.scandir(self._folder) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if _NAME.fullmatch(entry.name) and stat.S_ISREG(status.st_mode):
                        yield _File(Path(entry.path), status.st_size, status.st_mtime_ns)


def _remove(path: Path) -> bool:
    """Remove an entry; tells whether it is gone."""
    with suppress(OSError):  # Windows: it is being read
        if is_free(path):
            path.unlink(missing_ok=True)
            return True
    return False
