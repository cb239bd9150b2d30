"""One encoder output as a file: docs/decisions/0010-embedding-files.md.

An entry is 72 bytes of header, little-endian, and the values as they are in memory, row by row::

    magic 8 · version u32 · dtype u32 · n_tokens u32 · width u32 · key 32 · checksum 16 · float32 …

The checksum is BLAKE2b of all else. Nothing of a header is believed before the size of the file agrees.
"""

import hashlib
import os
import stat
import struct
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KEY_BYTES",
    "DamageError",
    "ForeignError",
    "entry_bytes",
    "is_free",
    "open_entry",
    "read_entry",
    "write_entry",
]

KEY_BYTES = 32
_MAGIC, _VERSION, _FLOAT32 = b"q3vlemb\n", 1, 1
_FIELDS, _CHECKSUM_BYTES = struct.Struct(f"<8s4I{KEY_BYTES}s"), 16
_HEADER_BYTES = _FIELDS.size + _CHECKSUM_BYTES
_MAX_VALUES_BYTES = 4 << 30  # the largest picture of the widest model of the family takes 1.3 GB
# a link is not followed, a pipe does not make us wait; Windows has neither flag
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class DamageError(Exception):
    """An entry is not what was written."""


class ForeignError(Exception):
    """What has the name of an entry is none, or one of another version."""


def entry_bytes(values: NDArray[np.float32]) -> int | None:
    """Size of the file for `values`; None if there can be none: they are empty or too large."""
    return _HEADER_BYTES + values.nbytes if 0 < values.nbytes <= _MAX_VALUES_BYTES else None


def open_entry(path: Path) -> BufferedReader:
    """Open what has the name of an entry.

    Raises:
        ForeignError: it is no regular file.
        OSError: there is none, or it cannot be opened.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ForeignError
    return open(os.open(path, _OPEN), "rb")  # noqa: PTH123 -- of a descriptor; it closes it


def is_free(path: Path) -> bool:
    """Whether nothing has this name, or an entry that may be replaced or removed.

    Raises:
        OSError: that cannot be seen.
    """
    try:
        with open_entry(path) as file:
            return _begins_as_ours(file.read(_HEADER_BYTES))
    except FileNotFoundError:
        return True
    except ForeignError:
        return False


def read_entry(file: BufferedReader, key: bytes) -> NDArray[np.float32]:
    """Read the values, shape (n_tokens, width).

    Raises:
        ForeignError: the file is not ours, or of another version.
        DamageError: it is damaged, or the entry of another key.
        OSError: it cannot be read.
    """
    head = file.read(_HEADER_BYTES)
    if not _begins_as_ours(head):
        raise ForeignError
    if len(head) < _HEADER_BYTES:
        raise DamageError("it is cut off")
    fields, checksum = head[: _FIELDS.size], head[_FIELDS.size :]
    magic, version, dtype, n_tokens, width, written_key = _FIELDS.unpack(fields)
    if magic == _MAGIC and version != _VERSION:
        raise ForeignError
    n_bytes = n_tokens * width * 4
    if (dtype, written_key) != (_FLOAT32, key) or not 0 < n_bytes <= _MAX_VALUES_BYTES:
        raise DamageError("its header is damaged")
    size = os.fstat(file.fileno()).st_size
    if size != _HEADER_BYTES + n_bytes:
        raise DamageError(f"it has {size} bytes instead of {_HEADER_BYTES + n_bytes}")
    values = np.empty((n_tokens, width), "<f4")
    file.readinto(values.data.cast("B"))
    if _checksum(fields, values) != checksum:
        raise DamageError("its checksum is wrong")
    return values


def write_entry(file: BinaryIO, key: bytes, values: NDArray[np.float32]) -> None:
    """Write `values`, shape (n_tokens, width), C order."""
    fields = _FIELDS.pack(_MAGIC, _VERSION, _FLOAT32, *values.shape, key)
    for part in (fields, _checksum(fields, values), values.data.cast("B")):
        file.write(part)


def _checksum(fields: bytes, values: NDArray[np.float32]) -> bytes:
    digest = hashlib.blake2b(fields, digest_size=_CHECKSUM_BYTES)
    digest.update(values.data)
    return digest.digest()


def _begins_as_ours(head: bytes) -> bool:
    """Whether a file that begins so is an entry, or what a crash of the machine leaves of one."""
    return head[: len(_MAGIC)] == _MAGIC or not any(head)
