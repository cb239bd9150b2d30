"""Folders of pictures and clips that are measured with: found, and shown no larger than wanted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import load_picture
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["DEFAULT_CLIP_OPTIONS", "DEFAULT_PICTURE_TOKENS", "clip_loader", "files_in", "picture_loader"]

DEFAULT_PICTURE_TOKENS = 1024
DEFAULT_CLIP_OPTIONS = ClipOptions(n_frames=16, max_tokens=2048)
"""Enough of a clip; what the model would be shown of a long one takes a CPU an hour."""


def files_in(folder: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    """List the files in `folder` and below whose names end in one of `suffixes`, sorted by path.

    Raises:
        UsageError: There is no such folder, or none of `what` in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one with {what}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise UsageError(f"{folder}: no {what} in it ({', '.join(sorted(suffixes))}); give another folder")
    return found


def picture_loader(path: Path, max_tokens: int) -> Callable[[EngineInfo], Content]:
    """Give what loads a picture, shown with at most `max_tokens`, or the fewest that the model has."""

    def load(info: EngineInfo) -> Content:
        limits = info.image_limits
        most = max(min(limits.max_pixels, max_tokens * limits.factor**2), limits.min_pixels)
        return load_picture(path, replace(limits, max_pixels=most))

    return load


def clip_loader(path: Path, options: ClipOptions) -> Callable[[EngineInfo], Content]:
    """Give what plans a clip; it is decoded when it is encoded."""

    def load(info: EngineInfo) -> Content:
        try:
            from qwen3vl_edge.video import load_clip  # noqa: PLC0415 -- loads OpenCV, which only clips need
        except ImportError as error:
            raise MediaError(f"OpenCV does not load ({error}); pip install opencv-python-headless") from error
        try:
            return load_clip(path, info.video_limits, options)
        except UsageError as error:  # as a range beyond its end: of this clip, others may have it
            raise MediaError(str(error)) from error

    return load
