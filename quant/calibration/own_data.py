"""Text, pictures and clips of the user's own."""

from collections.abc import Sequence
from pathlib import Path

from qwen3vl_edge.clips import CLIP_SUFFIXES, ClipOptions
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.quant.calibration.pieces import Piece, TextChunk, spread_questions
from qwen3vl_edge.quant.imatrix_sums import CHUNK_SIZE
from qwen3vl_edge.quant.shown_files import clip_loader, files_in, picture_loader

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
    files = files_in(folder, IMAGE_SUFFIXES, "pictures")
    items = [
        (str(path), _stamp(path, folder, max_tokens), picture_loader(path, max_tokens)) for path in files
    ]
    return list(spread_questions("picture", items))


def clips_in(folder: Path, options: ClipOptions) -> list[Piece]:
    """Ask about every clip in `folder` and below.

    Raises:
        UsageError: There is none.
    """
    files = files_in(folder, CLIP_SUFFIXES, "clips")
    items = [(str(path), _stamp(path, folder, options), clip_loader(path, options)) for path in files]
    return list(spread_questions("clip", items))


def _stamp(path: Path, folder: Path, shown: int | ClipOptions) -> str:
    """Tell a file, unchanged and shown in this way, from any other."""
    status = path.stat()
    return f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns} {shown}"
