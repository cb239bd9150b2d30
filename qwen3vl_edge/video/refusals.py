"""Why a file is no clip that can be shown, as far as its bytes tell."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["is_playlist", "why_unreadable"]

_HEAD_BYTES = 64
_MAX_BOXES = 10_000  # a damaged file can have one every 8 bytes
_INDEX_BYTES = 1 << 20  # names of the kinds of track stand near the beginning of the index
_UNKNOWN = "not a clip, or of a kind that this OpenCV cannot decode"
_SOUND = (b"ID3", b"fLaC", b"OggS", b"\xff\xfb", b"#!AMR")


def is_playlist(head: bytes) -> bool:
    """Whether FFmpeg would follow what the file says to other files or to the network."""
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"#EXTM3U", b"ffconcat", b"<?xml", b"v=0"))


def why_unreadable(path: Path) -> str:
    """Say why OpenCV does not open `path`.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if not head.strip(b"\0"):
            return "empty; the recording or the download broke off"
        if head[4:8] == b"ftyp":
            return _why_no_film(file)
    if head.startswith(_SOUND) or (head.startswith(b"RIFF") and head[8:12] == b"WAVE"):
        return "only sound, no pictures; give a clip with a picture track"
    return _UNKNOWN


def _why_no_film(file: BinaryIO) -> str:
    """Look into an ISO base media file (ISO/IEC 14496-12: mp4, mov, m4v, 3gp)."""
    index = next((_content(file, box) for box in _boxes(file) if box[0] == b"moov"), None)
    if index is None:
        return (
            "its index (the moov box) is missing: the recording or the download broke off; record or "
            "fetch it again"
        )
    if b"soun" in index and b"vide" not in index:
        return "only sound, no pictures; give a clip with a picture track"
    return _UNKNOWN


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, start of content and size of content of each box at the top, in bytes."""
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, n_head = struct.unpack(">I", head[:4])[0], head[4:8], 8
        if size == 1 and len(head) == 16:
            size, n_head = struct.unpack(">Q", head[8:])[0], 16
        yield kind, position + n_head, size - n_head
        if size < n_head:  # 0: up to the end of the file; less is damage
            return
        position += size


def _content(file: BinaryIO, box: tuple[bytes, int, int]) -> bytes:
    _, start, size = box
    file.seek(start)
    return file.read(max(0, min(size, _INDEX_BYTES)))
