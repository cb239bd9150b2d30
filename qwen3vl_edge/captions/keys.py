"""What an item is known by in a journal: its place, relative to the journal's, so that both can move."""

import os
from functools import lru_cache
from pathlib import Path

__all__ = ["Keys"]

_N_FOLDERS = 256  # items come folder by folder


class Keys:
    """Gives keys, bytes of relative paths, in a journal that lies in `folder`.

    Two ways to one file through links between folders give one key; a link to a file has a key of its
    own, as captions are written beside the link. What shares no folder with the journal but the root, or
    lies on another drive, has its absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._prefix = lru_cache(_N_FOLDERS)(self._prefix_of)

    def key(self, path: Path) -> bytes:
        """Give the key of the file `path`."""
        folder, name = os.path.split(path)
        return self._prefix(folder) + os.fsencode(name)

    def path(self, key: bytes) -> Path:
        """Give the place that `key` stands for, absolute."""
        return Path(os.path.normpath(os.path.join(self._folder, os.fsdecode(key))))  # noqa: PTH118 -- keys may be absolute

    def _prefix_of(self, folder: str) -> bytes:
        real = os.path.realpath(folder or os.curdir)
        try:
            apart = os.path.commonpath((real, self._folder)) == os.path.abspath(os.sep)  # noqa: PTH100
            relative = real if apart else os.path.relpath(real, self._folder)
        except ValueError:  # another drive of Windows
            relative = real
        return b"" if relative == os.curdir else os.fsencode(relative).rstrip(os.fsencode(os.sep)) + b"/"
