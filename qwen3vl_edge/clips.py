"""Clips as values: which frames the model is shown, in which pairs, at which times.

Everything here is pure; `qwen3vl_edge.video` decodes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qwen3vl_edge.clip_options import DEFAULT_OPTIONS, FRAMES_A_MOMENT, LEAST_FPS, ClipOptions
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import Pixels, VisionPart
from qwen3vl_edge.limits import VideoLimits, clip_size

__all__ = [
    "CLIP_SUFFIXES",
    "DEFAULT_OPTIONS",
    "LEAST_FPS",
    "Clip",
    "ClipOptions",
    "ClipPlan",
    "Footage",
    "clip_of",
    "frame_count",
    "is_clip",
    "plan_clip",
]

CLIP_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
"""Of the files that are clips, in lower case."""


@dataclass(frozen=True, slots=True)
class Footage:
    """What a clip's file holds: frame ``index`` is what is seen at ``start_s + index / fps`` seconds.

    Where frames do not come evenly, ``fps`` is a grid on which they lie, and one of them can have
    several indices. ``is_untimed`` says that ``fps`` is not of the file, but what `ClipOptions.fps` or the
    model's default says: pictures without times.
    """

    n_frames: int
    fps: float
    width: int
    height: int
    start_s: float = 0.0
    is_untimed: bool = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_frames / self.fps


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Which frames are shown, when and how large.

    ``indices`` has an even length (an odd last frame stands twice); ``stamps_s`` has one entry a
    pair, in seconds; ``width`` and ``height`` are those of every frame, in pixels. ``fps`` is the
    footage's.
    """

    indices: tuple[int, ...]
    stamps_s: tuple[float, ...]
    width: int
    height: int
    fps: float

    @property
    def n_frames(self) -> int:
        """How many different frames are shown."""
        return len(set(self.indices))

    def n_tokens(self, factor: int) -> int:
        """Count the vision tokens of all pairs; `factor` is the side of one in pixels."""
        return len(self.stamps_s) * (self.height // factor) * (self.width // factor)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip, sampled: one moment a stamp, decoded and fitted when asked for. Compared by identity.

    ``notes`` say what of the file could not be used, ``options`` how it was sampled. ``resample`` gives it
    sampled by other options; None where the frames at hand are all that there is.
    """

    plan: ClipPlan
    moments: tuple[VisionPart, ...]
    source: str
    footage: Footage
    options: ClipOptions = DEFAULT_OPTIONS
    find_notes: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False)
    resample: "Callable[[ClipOptions], Clip] | None" = field(default=None, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file could not be used; damage may show only once the frames are decoded."""
        return self.find_notes()

    @property
    def pairs(self) -> tuple[tuple[Pixels, ...], ...]:
        """All frames at once, (first, second) for each stamp: memory for the whole clip."""
        return tuple(moment.frames for moment in self.moments)


def is_clip(path: Path) -> bool:
    """Whether the name of `path` is a clip's."""
    return path.suffix.lower() in CLIP_SUFFIXES


def clip_of(plan: ClipPlan, frames: Sequence[Pixels], source: str) -> Clip:
    """Give a clip whose frames are at hand, fitted, one for each of ``plan.indices``."""
    moments = tuple(
        VisionPart.of((first, second)) for first, second in zip(frames[::2], frames[1::2], strict=True)
    )
    footage = Footage(plan.indices[-1] + 1, plan.fps, plan.width, plan.height)
    return Clip(plan, moments, source, footage)


def plan_clip(footage: Footage, limits: VideoLimits, options: ClipOptions = DEFAULT_OPTIONS) -> ClipPlan:
    """Choose frames, stamps and size as the reference does.

    Frames are spread evenly from the first to the last of the range; the stamp of a pair is the mean of
    its frames' times, ``index / native_fps``. Source: transformers 5.23, ``video_processing_qwen3_vl.py``
    (``sample_frames``) and ``processing_qwen3_vl.py`` (``_calculate_timestamps``); for the range
    qwen-vl-utils 0.0.14, ``calculate_video_frame_range``.

    Raises:
        MediaError: There is no frame, or the frames have an impossible shape.
        UsageError: The range holds none.
    """
    first, last = _range(footage, options)
    count = frame_count(last - first + 1, footage.fps, limits, options)
    sampled: list[int] = np.linspace(first, last, count).round().astype(int).tolist()
    height, width = clip_size(count, footage.height, footage.width, options.limits(limits))
    indices = (*sampled, sampled[-1]) if count % FRAMES_A_MOMENT else tuple(sampled)
    times = [index / footage.fps for index in indices]
    stamps = tuple(footage.start_s + (a + b) / 2 for a, b in zip(times[::2], times[1::2], strict=True))
    return ClipPlan(indices, stamps, width, height, footage.fps)


def frame_count(n_available: int, native_fps: float, limits: VideoLimits, options: ClipOptions) -> int:
    """Give how many of `n_available` frames are shown.

    ``clamp(int(n / native_fps · fps), min_frames, max_frames)``, or as many as were asked for; never more
    than there are, where transformers 5.23 (``sample_frames``) would show frames twice.
    """
    if options.n_frames is not None:
        return min(options.n_frames, n_available)
    wanted = int(n_available / native_fps * options.limits(limits).fps)
    return min(max(wanted, limits.min_frames), limits.max_frames, n_available)


def _range(footage: Footage, options: ClipOptions) -> tuple[int, int]:
    """Give the first and the last index that may be shown."""
    if footage.n_frames < 1:
        raise MediaError("the clip has no frames")
    first, last = 0, footage.n_frames - 1
    start, end = footage.start_s, footage.start_s + footage.duration_s
    if options.start_s is not None:
        first = math.ceil(_within(footage, options.start_s) * footage.fps)
    if options.end_s is not None:
        last = min(math.floor((min(options.end_s, end) - footage.start_s) * footage.fps), last)
    if first > last:
        raise UsageError(
            f"there is no frame in the range asked for; the clip goes from {start:.2f} s to {end:.2f} s "
            f"at {footage.fps:g} frames a second"
        )
    return first, last


def _within(footage: Footage, time_s: float) -> float:
    return max(0.0, min(time_s - footage.start_s, footage.duration_s))
