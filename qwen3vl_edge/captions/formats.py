"""What a file holds, told by its first bytes and not by its name."""

import re

from qwen3vl_edge.captions.values import Kind
from qwen3vl_edge.clips import CLIP_SUFFIXES
from qwen3vl_edge.images import IMAGE_SUFFIXES
from qwen3vl_edge.picture_files import is_heif

__all__ = ["HEAD_BYTES", "kind_in_folder", "kind_of_content", "kind_of_named"]

HEAD_BYTES = 512
"""How much of a file is looked at."""

_PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".heic", ".heif", ".hif", ".jxl", ".jp2"}

# By content they are TIFF, of which a reader finds the thumbnail, and containers of clips.
_RAW = frozenset(
    (".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw")
).union((".orf", ".pef", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"))
_SOUND = frozenset((".aac", ".m4a", ".m4b", ".m4p", ".mka", ".oga", ".ogg", ".opus", ".wma"))
_PASSED_OVER = _RAW | _SOUND

_PICTURE = re.compile(
    rb"\xff\xd8\xff"  # JPEG
    rb"|\x89PNG\r\n\x1a\n"
    rb"|GIF8[79]a"
    rb"|RIFF....WEBP"
    rb"|BM....\x00\x00\x00\x00....[\x0c(48@l|]\x00\x00\x00"  # BMP, and the size of its header
    rb"|II[*+]\x00|MM\x00[*+]"  # TIFF, BigTIFF
    rb"|....ftypavi[fs]"
    rb"|\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"  # JPEG 2000
    rb"|\x00\x00\x00\x0cJXL \r\n\x87\n|\xff\x0a"  # JPEG XL: named as one that cannot be read
    rb"|P[1-6]\s+(?:#|\d)"  # PNM
    rb"|qoif",
    re.DOTALL,
)
_CLIP = re.compile(
    rb"....ftyp(?!M4[AB] |F4[AB] |crx )"  # MP4, QuickTime; not their sound, nor Canon's raw files
    rb"|....(?:moov|mdat|wide)"  # QuickTime before it had ftyp
    rb"|\x1a\x45\xdf\xa3"  # Matroska, WebM
    rb"|RIFF....AVI "
    rb"|\x00\x00\x01[\xba\xb3]"  # MPEG program stream, MPEG-1 video
    rb"|FLV\x01"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11"  # ASF, WMV
    rb"|OggS"
    rb"|\x47.{187}\x47.{187}\x47"  # MPEG transport stream
    rb"|.{4}\x47.{191}\x47",  # the same with times of arrival (AVCHD)
    re.DOTALL,
)


def kind_of_content(head: bytes) -> Kind | None:
    """Tell what a file that begins with `head` (`HEAD_BYTES` of it) holds; None is neither.

    An animated GIF, WebP or PNG is a picture: its first frame, as for ``ask --image``.
    """
    if _PICTURE.match(head) or is_heif(head):
        return "picture"
    return "clip" if _CLIP.match(head) else None


def kind_in_folder(head: bytes, suffix: str) -> Kind | None:
    """Tell whether a folder's file is captioned, and as what.

    Its content decides. One that has a picture's or a clip's suffix and other content is taken too, and
    fails by name; camera raw files and sound are passed over.
    """
    suffix = suffix.lower()
    if suffix in _PASSED_OVER:
        return None
    return kind_of_content(head) or _kind_of_suffix(suffix)


def kind_of_named(head: bytes, suffix: str) -> Kind:
    """Tell as what a file is captioned that was named outright."""
    return kind_of_content(head) or _kind_of_suffix(suffix.lower()) or "picture"


def _kind_of_suffix(suffix: str) -> Kind | None:
    if suffix in _PICTURE_SUFFIXES:
        return "picture"
    return "clip" if suffix in CLIP_SUFFIXES else None
