"""Kinds by content, over what the libraries themselves write."""

import io
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.captions.formats import HEAD_BYTES, kind_in_folder, kind_of_content
from tests.test_video import write_clip

PICTURES = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")


@pytest.mark.parametrize("form", PICTURES)
def test_pictures_are_told_by_their_content(form: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, form)
    assert kind_of_content(file.getvalue()[:HEAD_BYTES]) == "picture"


def test_heic_pictures_are_told_by_their_content() -> None:
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(file)
    assert kind_of_content(file.getvalue()[:HEAD_BYTES]) == "picture"


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm"])
def test_clips_are_told_by_their_content(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", 5)
    assert kind_of_content(path.read_bytes()[:HEAD_BYTES]) == "clip"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BMW is a maker of cars and of motorcycles.",
        b"P1 is the first of them",
        b"G" + b"reetings " * 60,
        b"RIFF\x24\x08\x00\x00WAVEfmt ",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"PK\x03\x04",
        b"\x00\x00\x00\x20ftypM4A \x00\x00",
        b'{"caption": "x"}',
    ],
)
def test_other_files_are_neither(head: bytes) -> None:
    assert kind_of_content(head[:HEAD_BYTES]) is None
    assert kind_in_folder(head, ".dat") is None


def test_transport_streams_of_both_kinds() -> None:
    packets = b"".join(b"\x47" + bytes(187) for _ in range(4))
    timed = b"".join(b"\0\0\0\1\x47" + bytes(187) for _ in range(4))
    assert kind_of_content(packets[:HEAD_BYTES]) == "clip"
    assert kind_of_content(timed[:HEAD_BYTES]) == "clip"
