"""Clips from disk: frames are decoded as `qwen3vl_edge.clips` plans them, when they are asked for."""

from collections.abc import Sequence
from pathlib import Path

from qwen3vl_edge.clips import DEFAULT_OPTIONS, Clip, ClipOptions
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video.animation import Animation, is_picture
from qwen3vl_edge.video.film import Film
from qwen3vl_edge.video.moments import sampled
from qwen3vl_edge.video.source import FrameSource
from qwen3vl_edge.video.stills import Stills, pictures_of

__all__ = ["load_clip", "load_frames", "open_source"]

_HEAD_BYTES = 64


def load_clip(path: Path, limits: VideoLimits, options: ClipOptions = DEFAULT_OPTIONS) -> Clip:
    """Plan the clip in `path`; its frames are decoded, turned upright and fitted when they are asked for.

    A folder is a clip of the pictures in it, ``options.fps`` of them a second.

    Raises:
        MediaError: The file is missing, not a clip, damaged, or of an impossible shape.
        UsageError: The options leave nothing to show.
    """
    return sampled(open_source(path, limits, options), str(path), limits, options)


def load_frames(paths: Sequence[Path], limits: VideoLimits, options: ClipOptions = DEFAULT_OPTIONS) -> Clip:
    """Plan a clip whose frames are pictures, ``options.fps`` of them a second; see `load_clip`."""
    if not paths:
        raise MediaError("no pictures were given; a clip needs one or more")
    return sampled(Stills(paths, options.fps or limits.fps), str(paths[0].parent), limits, options)


def open_source(path: Path, limits: VideoLimits, options: ClipOptions = DEFAULT_OPTIONS) -> FrameSource:
    """Find out what kind of clip `path` is, by its bytes and not by its name, and open it.

    Raises:
        MediaError: As for `load_clip`.
    """
    try:
        if path.is_dir():
            return Stills(pictures_of(path), options.fps or limits.fps)
        return Animation(path) if is_picture(_head(path)) else Film(path)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from None


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise MediaError("no such clip")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})") from error
