"""A file that is written out of order and hashed in order."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["HashedFile"]

_READ_BYTES = 1 << 20


class HashedFile:
    """A new file at `path`: what comes in order is hashed as it passes, the rest is read back in its turn.

    `n_hashed` bytes have come without a gap.

    Raises:
        OSError: the disk is full or the path cannot be written; so for the methods.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._hash = hashlib.sha256()
        self.n_hashed = 0
        self._ahead: dict[int, int] = {}  # start -> end of what was written before its turn
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="hash")

    def write(self, position: int, data: memoryview) -> None:
        """Write `data` (bytes) at `position`; each byte of the file is written once."""
        if position != self.n_hashed:
            self._write(position, data)
            self._ahead[position] = position + len(data)
            return
        hashing = self._hasher.submit(self._hash.update, data)  # takes as long as the disk
        self._write(position, data)
        hashing.result()
        self.n_hashed += len(data)
        while self.n_hashed in self._ahead:
            self._hash_written(self._ahead.pop(self.n_hashed))

    def finish(self) -> tuple[int, str]:
        """Flush to the disk; returns the bytes from the start without a gap, and their SHA-256."""
        os.fsync(self._file.fileno())
        return self.n_hashed, self._hash.hexdigest()

    def _write(self, position: int, data: memoryview) -> None:
        self._file.seek(position)
        written = 0
        while written < len(data):  # a raw write may stop early
            written += self._file.write(data[written:])

    def _hash_written(self, end: int) -> None:
        self._file.seek(self.n_hashed)
        while self.n_hashed < end:
            data = self._file.read(min(_READ_BYTES, end - self.n_hashed))
            if not data:
                raise OSError(errno.EIO, "the file has become shorter while it was written", self._file.name)
            self._hash.update(data)
            self.n_hashed += len(data)

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._hasher.shutdown()
        self._file.close()
