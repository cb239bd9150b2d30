"""One file on its way from the hub to the disk: what has come, and the hash over it."""

import os
import re
from collections.abc import Callable
from concurrent.futures import CancelledError
from threading import Event
from typing import BinaryIO

import httpx2

from qwen3vl_edge.hub.contents import HubFile, content_hasher

__all__ = ["DamagedError", "Reception"]


class DamagedError(Exception):
    """What came is not what the listing announced."""


class Reception:
    """A file on its way to the disk, and the hash over what has come."""

    def __init__(self, file: HubFile, target: BinaryIO, on_size: Callable[[int], None], stop: Event) -> None:
        self.size = 0
        self.stop = stop
        self._file = file
        self._target = target
        self._on_size = on_size
        self._hasher = content_hasher(file.blob, file.size_bytes)
        if target.seek(0, os.SEEK_END) > file.size_bytes:
            self._restart()
        target.seek(0)
        while block := target.read(1 << 20):
            self._count(block)

    def read(self, response: httpx2.Response) -> None:
        """Append the body of `response`."""
        if response.status_code != 206:  # the whole file, whatever was asked for
            self._restart()
        self._check_range(response)
        for chunk in response.iter_bytes():
            self._target.write(chunk)
            self._count(chunk)
            if self.size > self._file.size_bytes:
                raise DamagedError(f"more than the {self._file.size_bytes} bytes of the listing came")
        if self.size < self._file.size_bytes:
            raise httpx2.RemoteProtocolError("the answer ended early")

    def check_hash(self) -> None:
        """Compare what has come with the hash of the listing."""
        if (found := self._hasher.hexdigest()) != self._file.blob:
            raise DamagedError(f"came with hash {found}, the listing says {self._file.blob}")

    def _check_range(self, response: httpx2.Response) -> None:
        where = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code == 206 and (where is None or int(where[1]) != self.size):
            raise DamagedError(f"the hub sent another part than the one from byte {self.size}")
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        length = where[2] if where else None if encoded else response.headers.get("Content-Length")
        if length is not None and length != str(self._file.size_bytes):
            raise DamagedError(f"the hub sends {length} bytes, its listing says {self._file.size_bytes}")

    def _count(self, chunk: bytes) -> None:
        if self.stop.is_set():
            raise CancelledError
        self._hasher.update(chunk)
        self.size += len(chunk)
        self._on_size(self.size)

    def _restart(self) -> None:
        self._target.truncate(0)
        self._hasher = content_hasher(self._file.blob, self._file.size_bytes)
        self.size = 0
