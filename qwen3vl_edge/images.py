"""Pictures from disk to the exact pixels that the reference implementation gives the model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import ImageLimits, smart_resize

__all__ = ["IMAGE_SUFFIXES", "Picture", "Pixels", "fit", "flatten", "load_picture", "resize"]

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3), C order, both sides multiples of 32 px once fitted."""

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What a folder is searched for; a file named outright may have any suffix."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, fitted: what the model sees. Compared by identity."""

    pixels: Pixels
    source: str


def load_picture(path: Path, limits: ImageLimits) -> Picture:
    """Read, turn upright, flatten and fit the picture in `path`.

    Raises:
        MediaError: The file is missing, not a picture, damaged, or of an impossible shape.
    """
    try:
        with Image.open(path) as image:
            pixels = fit(flatten(image), limits)
    except FileNotFoundError:
        raise MediaError(f"no such picture: {path}") from None
    except IsADirectoryError:
        raise MediaError(f"{path} is a folder; name a picture in it") from None
    except UnidentifiedImageError:
        raise MediaError(f"not a picture, or of an unknown kind: {path}") from None
    except PermissionError:
        raise MediaError(f"{path} cannot be read: permission denied") from None
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{path} claims more pixels than is safe to decode; scale it down first") from None
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError) as error:
        # what Pillow's decoders raise at damaged files
        raise MediaError(f"damaged picture {path}: {error}") from error
    return Picture(pixels, str(path))


def flatten(image: Image.Image) -> Image.Image:
    """Give `image` upright and in RGB: EXIF orientation applied, transparency laid on white.

    White is what qwen-vl-utils 0.0.14 (``to_rgb``) puts behind transparency. Greys of 16 bits are
    scaled to 8, where Pillow's own conversion would clip them to white.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        grey = np.asarray(upright, dtype=np.float64) / 257.0  # 65535 -> 255
        upright = Image.fromarray(np.clip(np.round(grey), 0, 255).astype(np.uint8))
    if upright.has_transparency_data:
        layered = upright.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(white, layered)
    return upright.convert("RGB")


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
