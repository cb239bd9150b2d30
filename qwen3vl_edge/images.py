"""Pictures from disk to the exact pixels that the reference implementation gives the model."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import ImageLimits, MediaLimits, smart_resize
from qwen3vl_edge.picture_files import PICTURE_FAULTS, faults_named, open_picture, permit_pixels, picture_in

__all__ = [
    "IMAGE_SUFFIXES",
    "PICTURE_FAULTS",
    "Frames",
    "Picture",
    "Pixels",
    "VisionPart",
    "fit",
    "flatten",
    "load_picture",
    "load_picture_as",
    "load_picture_bytes",
    "refit",
    "resize",
]

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3), C order, both sides multiples of 32 px once fitted."""

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What a folder is searched for; a file named outright may have any suffix."""


_DIGEST_BYTES = 16
_WHITES = (1.0, 255.0, 65535.0)

Frames = tuple[Pixels] | tuple[Pixels, Pixels]


@dataclass(frozen=True, eq=False)
class VisionPart:
    """One picture (one frame) or one moment of a clip (two): what the encoder takes at once.

    ``height`` and ``width`` of each frame are in pixels; ``digest`` is equal for what looks equal;
    ``load`` gives the frames, decoding them where that is still to be done.
    """

    height: int
    width: int
    digest: bytes
    load: Callable[[], Frames]

    @classmethod
    def of(cls, frames: Frames) -> Self:
        """Give the part whose frames are at hand; the digest is BLAKE2b of number, size and pixels."""
        digest = hashlib.blake2b(repr([frame.shape for frame in frames]).encode(), digest_size=_DIGEST_BYTES)
        for frame in frames:
            digest.update(np.ascontiguousarray(frame).data)
        height, width, _ = frames[0].shape
        return cls(height, width, digest.digest(), lambda: frames)

    @property
    def frames(self) -> Frames:
        """The frames, loaded anew each time it is asked for; the part does not keep them."""
        return self.load()


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, fitted: what the model sees. Compared by identity."""

    pixels: Pixels
    source: str

    @cached_property
    def vision(self) -> VisionPart:
        """The picture as the encoder takes it."""
        return VisionPart.of((self.pixels,))


def load_picture(path: Path, limits: ImageLimits) -> Picture:
    """Read, turn upright, flatten and fit the picture in `path`.

    Raises:
        MediaError: The file is missing, not a picture, damaged, or of an impossible shape.
    """
    return _load(path, lambda image: fit(image, limits))


def load_picture_as(path: Path, height: int, width: int) -> Picture:
    """Read, turn upright, flatten and stretch the picture in `path` to exactly this size.

    Raises:
        MediaError: As for `load_picture`.
    """
    return _load(path, lambda image: resize(image, width, height))


def refit(picture: Picture, height: int, width: int) -> Picture:
    """Give `picture` in another size: from its file if that still shows it, else from what was shown."""
    path = Path(picture.source)
    try:
        if load_picture_as(path, *picture.pixels.shape[:2]).vision.digest == picture.vision.digest:
            return load_picture_as(path, height, width)
    except MediaError:
        pass  # moved, or damaged since
    return Picture(resize(Image.fromarray(picture.pixels), width, height), picture.source)


def load_picture_bytes(
    data: bytes, path: Path, limits: ImageLimits, media: MediaLimits
) -> tuple[Picture, tuple[int, int]]:
    """Turn upright, flatten and fit the picture whose file `path` holds `data`.

    Returns:
        The picture as the model sees it, and the (width, height) that it has upright, in pixels.

    Raises:
        MediaError: As for `load_picture`; or it claims more pixels than `media` allows.
    """
    if not data:
        raise MediaError(f"{path} is empty (0 bytes)")
    permit_pixels(media.max_pixels)
    with faults_named(path):
        try:
            opened = open_picture(io.BytesIO(data), data[:64])
        except Image.DecompressionBombError:
            raise MediaError(_too_many(media)) from None
        with opened as image:
            if image.width * image.height > media.max_pixels:
                raise MediaError(f"{image.width} × {image.height} px: {_too_many(media)}")
            upright = flatten(image)
            return Picture(fit(upright, limits), str(path)), upright.size


def _too_many(media: MediaLimits) -> str:
    return f"claims more than {media.max_pixels} pixels; scale it down, or allow more with --max-pixels"


def _load(path: Path, fitted: Callable[[Image.Image], Pixels]) -> Picture:
    with faults_named(path), picture_in(path) as image:
        return Picture(fitted(flatten(image)), str(path))


def flatten(image: Image.Image) -> Image.Image:
    """Give `image` upright and in RGB: EXIF orientation applied, transparency laid on white.

    White is what qwen-vl-utils 0.0.14 (``to_rgb``) puts behind transparency. Greys of 16 bits and of
    floating point are scaled to 8 bits, where Pillow's own conversion would clip them.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode in {"I", "F"}:
        upright = _grey(upright)
    if upright.has_transparency_data:
        layered = upright.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, layered)
    return upright.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Scale greys of 16 or 32 bits to 8: white is 65535, of floating point the least that holds them all."""
    values = np.asarray(image, dtype=np.float64)
    white = _WHITES[-1]
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        white = next((white for white in _WHITES if values.max(initial=0) <= white), float(values.max()))
    return Image.fromarray(np.clip(np.round(values * (255.0 / white)), 0, 255).astype(np.uint8))


def fit(image: Image.Image, limits: ImageLimits) -> Pixels:
    """Stretch an RGB image to the size of `smart_resize`: bicubic, antialiased, never padded.

    Equal to the last bit to transformers 5.23's PIL image processor (tests/parity/test_pixels.py).

    Raises:
        MediaError: As for `smart_resize`.
    """
    height, width = smart_resize(image.height, image.width, limits)
    return resize(image, width, height)


def resize(image: Image.Image, width: int, height: int) -> Pixels:
    """Stretch an RGB image to exactly `width` × `height` px; returns shape (height, width, 3)."""
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(image)
