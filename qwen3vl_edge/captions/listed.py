"""Lists of paths, as other programs write them."""

import os
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from qwen3vl_edge.errors import UsageError

__all__ = ["listed_paths"]

_CHUNK_BYTES = 1 << 16
_LONGEST_BYTES = 1 << 16  # of a path: no system has longer ones


def listed_paths(file: BufferedIOBase, where: str, *, null: bool = False) -> Iterator[Path]:
    r"""Read the paths of a list, one a line or, with `null`, each ended by a NUL (``find -print0``).

    They are read as they are asked for. Empty lines are passed over; blanks are part of names, a carriage
    return at the end is not. Paths are relative to the current folder, as for ``tar --files-from``.

    Raises:
        UsageError: It is no such list; `where` says which.
    """
    for name in _ended(file, b"\0" if null else b"\n"):
        path = name if null else name.removesuffix(b"\r")
        if b"\0" in path:
            raise UsageError(f"{where}: has NUL bytes; --null reads lists whose paths they end")
        if len(path) > _LONGEST_BYTES:
            raise UsageError(f"{where}: no list of paths, one a line; --null reads those that NUL bytes end")
        if path:
            yield Path(os.fsdecode(path))


def _ended(file: BufferedIOBase, end: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := file.read1(_CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(end)
        yield from whole
        if len(rest) > _LONGEST_BYTES:
            break
    yield rest
