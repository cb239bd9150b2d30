"""Text, pictures and clips of the user's own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from qwen3vl_edge.clips import CLIP_SUFFIXES, ClipOptions
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES, load_picture
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.messages import Content
from qwen3vl_edge.quant.calibration.pieces import Piece, TextChunk, spread_questions
from qwen3vl_edge.quant.imatrix_sums import CHUNK_SIZE
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["chunks_of", "clips_in", "pictures_in", "read_text"]

_MAX_TEXT_BYTES = 64 << 20  # 16 million tokens: days


def read_text(path: Path) -> str:
    """Read a text as llama-imatrix does: one line end at its end is dropped (common/arg.cpp, 0c1e57098).

    Raises:
        UsageError: It cannot be read, is too long, or is not UTF-8.
    """
    raw = read_bytes(path, _MAX_TEXT_BYTES, UsageError)
    try:
        return raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise UsageError(f"{path}: not UTF-8 ({where}); save it as that") from None


def chunks_of(tokens: Sequence[int], named: str) -> list[Piece]:
    """Cut a tokenized text into chunks; what is left over at the end is not read, as in llama-imatrix.

    Raises:
        UsageError: It is shorter than one chunk.
    """
    n_chunks = len(tokens) // CHUNK_SIZE
    if n_chunks == 0:
        raise UsageError(f"{named}: has {len(tokens)} tokens, and a chunk is {CHUNK_SIZE}; give more text")
    return [TextChunk(tuple(tokens[i * CHUNK_SIZE : (i + 1) * CHUNK_SIZE])) for i in range(n_chunks)]


def pictures_in(folder: Path, max_tokens: int) -> list[Piece]:
    """Ask about every picture in `folder` and below, shown with at most `max_tokens`.

    Raises:
        UsageError: There is none.
    """
    load = partial(_load_picture, max_tokens)
    files = _files(folder, IMAGE_SUFFIXES, "pictures")
    return list(spread_questions("picture", [_item(path, folder, load) for path in files]))


def clips_in(folder: Path, options: ClipOptions) -> list[Piece]:
    """Ask about every clip in `folder` and below.

    Raises:
        UsageError: There is none.
    """
    load = partial(_load_clip, options)
    files = _files(folder, CLIP_SUFFIXES, "clips")
    return list(spread_questions("clip", [_item(path, folder, load) for path in files]))


def _files(folder: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one with {what}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise UsageError(f"{folder}: no {what} in it ({', '.join(sorted(suffixes))})")
    return found


def _item(
    path: Path, folder: Path, load: Callable[[Path, EngineInfo], Content]
) -> tuple[str, str, Callable[[EngineInfo], Content]]:
    status = path.stat()
    stamp = f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}"
    return str(path), stamp, partial(load, path)


def _load_picture(max_tokens: int, path: Path, info: EngineInfo) -> Content:
    limits = info.image_limits
    most = max(min(limits.max_pixels, max_tokens * limits.factor**2), limits.min_pixels)
    return load_picture(path, replace(limits, max_pixels=most))


def _load_clip(options: ClipOptions, path: Path, info: EngineInfo) -> Content:
    from qwen3vl_edge.video import load_clip  # noqa: PLC0415 -- loads OpenCV, which only clips need

    return load_clip(path, info.video_limits, options)
