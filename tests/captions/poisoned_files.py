"""Forty files that look like pictures and clips, and are none; and things that are no files at all."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["put_odd_things", "put_poison", "put_unreadable"]

_DAMAGED = "damaged picture|not a picture"
_OTHER = "not a picture|not a clip"
_TOO_LARGE = "claims more than"

_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF"}
_OTHER_CONTENT = {
    ".jpg": b"\x7fELF\x02\x01\x01" + bytes(200),
    ".png": b"This is a text.\n" * 20,
    ".webp": b"PK\x03\x04" + bytes(200),
    ".gif": b"<!doctype html><title>Not found</title>",
    ".jpeg": b"%PDF-1.7\n" + bytes(200),
    ".bmp": b"ID3\x04" + bytes(200),
    ".tiff": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(200),
    ".mp4": b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
    ".mkv": b"#!/bin/sh\nexit 1\n",
}


def put_poison(folder: Path) -> dict[str, str]:
    """Write bad files into `folder`; gives what must be said of each, as a regular expression, by name."""
    expected: dict[str, str] = {}
    for suffix, form in _FORMATS.items():
        for percent in (2, 30, 60, 90):
            expected |= _put(folder, f"cut{percent}-{form}{suffix}", _encoded(form, percent), _DAMAGED)
    for suffix, content in _OTHER_CONTENT.items():
        expected |= _put(folder, f"other-{suffix[1:]}{suffix}", content, _OTHER)
    for suffix in (".jpg", ".png", ".webp", ".gif", ".mp4"):
        expected |= _put(folder, f"empty-{suffix[1:]}{suffix}", b"", "empty")
    for side in (20_000, 60_000):
        expected |= _put(folder, f"bomb{side}.png", _claimed_png(side), _TOO_LARGE)
    expected |= _put(folder, "bomb50000.bmp", _claimed_bmp(50_000), _TOO_LARGE)
    expected |= _put(folder, "bomb65000.gif", _claimed_gif(65_000), _TOO_LARGE)
    (folder / "nowhere.png").symlink_to(folder / "not-there.png")
    (folder / "circle.png").symlink_to("circle.png")
    return expected | {"nowhere.png": "cannot be read", "circle.png": "cannot be read"}


def put_odd_things(folder: Path) -> None:
    """Put things beside the pictures that are no files, and that nobody asked about."""
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.md").write_text("# Notes\n")


def put_unreadable(folder: Path) -> dict[str, str]:
    """Write good pictures that nobody may read."""
    expected: dict[str, str] = {}
    for number in range(2):
        expected |= _put(folder, f"locked{number}.png", _encoded("PNG", 100), "Permission denied")
        (folder / f"locked{number}.png").chmod(0)
    return expected


def _put(folder: Path, name: str, content: bytes, reason: str) -> dict[str, str]:
    (folder / name).write_bytes(content)
    return {name: reason}


def _encoded(form: str, percent: int) -> bytes:
    """Give the beginning of a picture of noise."""
    noise = np.random.default_rng(7).integers(0, 256, (96, 96, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, form)
    return file.getvalue()[: len(file.getvalue()) * percent // 100]


def _claimed_png(side_px: int) -> bytes:
    """Give a PNG that claims to be large (PNG 3rd edition, 5.3 and 11.2.1) and has a row or two."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _claimed_bmp(side_px: int) -> bytes:
    """Give a BMP of the same kind (BITMAPFILEHEADER and BITMAPINFOHEADER of the Windows API)."""
    info = struct.pack("<IiiHHIIiiII", 40, side_px, side_px, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 300, 0, 0, 54) + info + bytes(300)


def _claimed_gif(side_px: int) -> bytes:
    """Give a GIF whose picture claims to be large (GIF89a specification, 18 and 20) and is missing."""
    screen = struct.pack("<HHBBB", side_px, side_px, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, side_px, side_px, 0) + b"\x02\x01\x00\x00;"
