import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import fit, flatten, load_picture
from qwen3vl_edge.limits import ImageLimits
from tests.goldens import GOLDEN, random_picture

SMALL = ImageLimits(min_pixels=1024, max_pixels=65_536)
_ROTATED_90 = 6  # EXIF orientation: turn right by 90° to see it upright
_ORIENTATION = 0x0112


@pytest.mark.parametrize("row", json.loads((GOLDEN / "pixels.json").read_text()), ids=lambda row: row["seed"])
def test_pixels_are_those_of_the_reference(row: dict[str, object]) -> None:
    limits = ImageLimits(int(row["min_pixels"]), int(row["max_pixels"]))
    pixels = fit(Image.fromarray(random_picture(int(row["seed"]))), limits)
    assert list(pixels.shape) == row["shape"]
    assert hashlib.sha256(pixels).hexdigest() == row["sha256"]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 64), "white")
    image.paste("black", (0, 0, 48, 64))  # left half dark: the upper half once turned right
    exif = Image.Exif()
    exif[_ORIENTATION] = _ROTATED_90
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = load_picture(tmp_path / "turned.png", SMALL).pixels
    assert pixels.shape == (96, 64, 3)
    assert pixels[:40].max() == 0
    assert pixels[-40:].min() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (200, 0, 0, 0)).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    assert np.asarray(flatten(image)).min() == 255


def test_half_transparent_red_becomes_pink() -> None:
    pixels = np.asarray(flatten(Image.new("RGBA", (32, 32), (255, 0, 0, 128))))
    assert tuple(pixels[0, 0]) == (255, 127, 127)


def test_16_bit_greys_are_scaled_not_clipped() -> None:
    image = Image.fromarray(np.full((32, 32), 0x8000, dtype=np.uint16))
    assert set(np.asarray(flatten(image)).flat) == {128}


@pytest.mark.parametrize("fault", [RuntimeError, MemoryError, NotImplementedError, ValueError])
def test_whatever_a_decoder_raises_is_a_damaged_picture(
    fault: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise fault("broken")

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr("qwen3vl_edge.images.flatten", decode)
    with pytest.raises(MediaError, match="damaged picture"):
        load_picture(tmp_path / "a.png", SMALL)


def test_what_is_wrong_and_where_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    Image.new("RGB", (400, 1)).save(tmp_path / "line.png")
    Image.effect_noise((200, 200), 50).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    for name, said in {
        "absent.png": "no such picture",
        "notes.txt": "not a picture",
        "line.png": "longer than 200:1",
        "cut.jpg": "damaged picture",
        ".": "is a folder",
    }.items():
        with pytest.raises(MediaError, match=said) as caught:
            load_picture(tmp_path / name, SMALL)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
