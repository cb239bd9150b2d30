"""Opening the files of pictures: which formats, how large, and what is wrong with one."""

import importlib.util
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from qwen3vl_edge.errors import MediaError

__all__ = ["PICTURE_FAULTS", "faults_named", "is_heif", "open_picture", "permit_pixels", "picture_in"]

PICTURE_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise at damaged files."""

_HEAD_BYTES = 64
_FTYP = b"ftyp"
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))

# Raster formats that Pillow 13.0 decodes itself: not EPS, for which it runs Ghostscript. TGA has no magic
# bytes and comes last. Files of several JPEGs (MPO) come as JPEG.
_FORMATS: tuple[str, ...] = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "ICNS", "PCX"),
    *("PSD", "QOI", "SGI", "DDS", "TGA"),
)
_HEIF_FORMATS = ("HEIF",)


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with `head` (64 bytes suffice) is a HEIC or HEIF picture, and no AVIF.

    Source: ISO/IEC 23008-12:2022 §10; its brands stand in the first box, the one of the maker first.
    """
    if head[4:8] != _FTYP:
        return False
    n_bytes = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, n_bytes - 3, 4))]
    return brands[0] in _HEIF_BRANDS and not _AVIF_BRANDS.intersection(brands)


def open_picture(file: IO[bytes], head: bytes) -> Image.Image:
    """Open a picture whose file begins with `head`; HEIC needs the extra of that name."""
    formats = _FORMATS
    if is_heif(head):
        if importlib.util.find_spec("pillow_heif") is None:
            raise MediaError("HEIC pictures need: pip install 'qwen3vl-edge[heic]'")
        import pillow_heif  # noqa: PLC0415 -- optional

        pillow_heif.register_heif_opener()
        formats = _HEIF_FORMATS
    return Image.open(file, formats=formats)


@contextmanager
def picture_in(path: Path) -> Iterator[Image.Image]:
    """Open the picture in the file `path` as `open_picture` does; raises one of `PICTURE_FAULTS`, too."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        with open_picture(file, head) as picture:
            yield picture


def permit_pixels(max_pixels: int) -> None:
    """Have Pillow open pictures of so many pixels without a warning; its own guard stops at twice that.

    The guard is one for the process: it is raised and never lowered, so threads may do this at once.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Say of whatever Pillow raises what it means for the picture in `path`."""
    try:
        yield
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
    except PICTURE_FAULTS as error:
        raise MediaError(f"damaged picture {path}: {error}") from error
