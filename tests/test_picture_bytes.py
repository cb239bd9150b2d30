"""Pictures of every kind, from bytes that were read once."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwen3vl_edge import picture_files
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import load_picture, load_picture_bytes
from qwen3vl_edge.limits import ImageLimits, MediaLimits
from tests.test_images import _ORIENTATION, _ROTATED_90

SMALL = ImageLimits(min_pixels=1024, max_pixels=65_536)
ANY = MediaLimits()
RED = (200, 30, 60)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def mean(data: bytes) -> list[int]:
    picture, _ = load_picture_bytes(data, Path("x"), SMALL, ANY)
    return [round(float(value)) for value in picture.pixels.reshape(-1, 3).mean(axis=0)]


LOSSLESS = {
    "PNG": saved(Image.new("RGB", (64, 96), RED), "PNG"),
    "palette": saved(Image.new("RGB", (64, 96), RED).quantize(), "PNG"),
    "WEBP": saved(Image.new("RGB", (64, 96), RED), "WEBP", lossless=True),
    "GIF": saved(Image.new("RGB", (64, 96), RED), "GIF"),
    "BMP": saved(Image.new("RGB", (64, 96), RED), "BMP"),
    "TIFF": saved(Image.new("RGB", (64, 96), RED), "TIFF", compression="tiff_lzw"),
    "JPEG2000": saved(Image.new("RGB", (64, 96), RED), "JPEG2000"),
    "RGBA": saved(Image.new("RGBA", (64, 96), (*RED, 255)), "PNG"),
    "CMYK": saved(Image.new("CMYK", (64, 96), (55, 225, 195, 0)), "TIFF"),
}
LOSSY = {
    "JPEG": saved(Image.new("RGB", (64, 96), RED), "JPEG", quality=95),
    "CMYK": saved(Image.new("CMYK", (64, 96), (55, 225, 195, 0)), "JPEG", quality=95),  # inverted, as Adobe's
    "AVIF": saved(Image.new("RGB", (64, 96), RED), "AVIF", quality=95),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_what_loses_nothing_is_shown_as_it_is(kind: str) -> None:
    assert mean(LOSSLESS[kind]) == list(RED)


@pytest.mark.parametrize("kind", LOSSY)
def test_what_loses_little_is_shown_nearly_as_it_is(kind: str) -> None:
    assert np.abs(np.subtract(mean(LOSSY[kind]), RED)).max() <= 3


def test_heic_pictures_are_read_with_the_extra_and_named_without(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 96), RED)).save(file, quality=95)
    assert np.abs(np.subtract(mean(file.getvalue()), RED)).max() <= 4
    monkeypatch.setattr(picture_files.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MediaError, match=r"^a\.heic: HEIC .* pip install 'qwen3vl-edge\[heic\]'$"):
        load_picture_bytes(file.getvalue(), Path("a.heic"), SMALL, ANY)


@pytest.mark.parametrize(
    ("dtype", "value", "white"), [("uint16", 0x8000, 128), ("int32", 0x8000, 128), ("float32", 0.5, 128)]
)
def test_deep_greys_are_scaled(dtype: str, value: float, white: int) -> None:
    assert mean(saved(Image.fromarray(np.full((64, 64), value, dtype)), "TIFF")) == [white] * 3


def test_floats_beyond_one_are_scaled_to_the_range_that_holds_them() -> None:
    for most, expected in ((255.0, 64), (65535.0, 64), (1e6, 64)):
        values = np.full((64, 64), most / 4, "float32")
        values[0, 0], values[0, 1] = most, np.nan
        assert abs(mean(saved(Image.fromarray(values), "TIFF"))[0] - expected) <= 1


def test_16_bit_colours_keep_their_place() -> None:
    cv2 = pytest.importorskip("cv2")
    deep = np.full((64, 64, 3), (0x3C00, 0x1E00, 0xC800), np.uint16)  # blue, green, red
    for suffix in (".png", ".tiff"):
        assert mean(cv2.imencode(suffix, deep)[1].tobytes()) == list(RED)


def test_the_size_is_that_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = _ROTATED_90
    data = saved(Image.new("RGB", (640, 320)), "JPEG", exif=exif)
    picture, size = load_picture_bytes(data, Path("x"), SMALL, ANY)
    assert size == (320, 640)
    assert picture.pixels.shape[0] > picture.pixels.shape[1]


def test_bytes_and_file_give_the_same_pixels(tmp_path: Path) -> None:
    image = Image.effect_noise((301, 203), 60).convert("RGB")
    for name in ("a.jpg", "a.png", "a.webp"):
        image.save(tmp_path / name)
        picture, _ = load_picture_bytes((tmp_path / name).read_bytes(), tmp_path / name, SMALL, ANY)
        assert picture.vision.digest == load_picture(tmp_path / name, SMALL).vision.digest


def bomb(side: int) -> bytes:
    """A PNG that claims side × side px and has one row."""
    data = bytearray(saved(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_pictures_with_too_many_pixels_are_refused_unread() -> None:
    with pytest.raises(MediaError, match=r"^x: 400 × 400 px: claims more than 100000 .*--max-pixels"):
        load_picture_bytes(bomb(400), Path("x"), SMALL, MediaLimits(max_pixels=100_000))
    with pytest.raises(MediaError, match="^x: claims more than 178956970 pixels.*--max-pixels"):
        load_picture_bytes(bomb(60_000), Path("x"), SMALL, ANY)


def test_more_pixels_than_pillow_allows_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(MediaError, match="damaged"):  # decoded as far as it goes
        load_picture_bytes(bomb(400), Path("x"), SMALL, MediaLimits(max_pixels=200_000))
    data = saved(Image.new("RGB", (100, 100), RED), "PNG")
    picture, _ = load_picture_bytes(data, Path("x"), SMALL, MediaLimits(max_pixels=10_000))
    assert picture.pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"no picture at all", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage", "not a picture"),
        (saved(Image.effect_noise((90, 90), 50), "JPEG")[:900], "damaged"),
        (saved(Image.effect_noise((90, 90), 50), "PNG")[:900], "damaged"),
        (b"\x89PNG\r\n\x1a\n broken", "not a picture|damaged"),
        (saved(Image.new("RGB", (900, 2)), "PNG"), "200:1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_the_file(data: bytes, said: str) -> None:
    with pytest.raises(MediaError, match=said) as caught:
        load_picture_bytes(data, Path("folder/x.jpg"), SMALL, ANY)
    assert "folder/x.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [*LOSSLESS, *(f"lossy {kind}" for kind in LOSSY)])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on tags that are damaged
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_damage_of_any_kind_is_a_media_error_or_nothing(kind: str, data: st.DataObject) -> None:
    whole = LOSSY[kind.removeprefix("lossy ")] if kind.startswith("lossy ") else LOSSLESS[kind]
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    try:
        picture, size = load_picture_bytes(bytes(damaged), Path("x"), SMALL, MediaLimits(1_000_000))
    except MediaError as error:
        assert "\n" not in str(error)
    else:
        assert min(size) > 0
        assert picture.pixels.shape[2] == 3
