"""Clips as values: which frames the model is shown, in which pairs, at which times.

Everything here is pure; `qwen3vl_edge.video` decodes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import Pixels, VisionPart
from qwen3vl_edge.limits import VideoLimits, clip_size

__all__ = ["Clip", "ClipPlan", "Footage", "plan_clip"]


@dataclass(frozen=True, slots=True)
class Footage:
    """What a clip's file holds."""

    n_frames: int
    fps: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Which frames are shown, when and how large.

    ``indices`` has an even length (an odd last frame stands twice); ``stamps_s`` has one entry a
    pair, in seconds; ``width`` and ``height`` are those of every frame, in pixels.
    """

    indices: tuple[int, ...]
    stamps_s: tuple[float, ...]
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip, sampled and fitted: one (first, second) pair of frames a stamp. Compared by identity."""

    plan: ClipPlan
    pairs: tuple[tuple[Pixels, Pixels], ...]
    source: str

    @cached_property
    def moments(self) -> tuple[VisionPart, ...]:
        """The pairs as the encoder takes them."""
        return tuple(map(VisionPart, self.pairs))


def plan_clip(footage: Footage, limits: VideoLimits) -> ClipPlan:
    """Choose frames, stamps and size as the reference does.

    Sampling: ``n = clamp(int(frames / native_fps · fps), min_frames, max_frames)``, never more than
    there are, spread evenly from first to last. Stamp of a pair: the mean of its frames' times,
    ``index / native_fps``. Source: transformers 5.23, ``video_processing_qwen3_vl.py``
    (``sample_frames``) and ``processing_qwen3_vl.py`` (``_calculate_timestamps``).

    Raises:
        MediaError: There is no frame, or the frames have an impossible shape.
    """
    if footage.n_frames < 1:
        raise MediaError("the clip has no frames")
    wanted = int(footage.n_frames / footage.fps * limits.fps)
    count = min(max(wanted, limits.min_frames), limits.max_frames, footage.n_frames)
    sampled = np.linspace(0, footage.n_frames - 1, count).round().astype(int).tolist()
    height, width = clip_size(count, footage.height, footage.width, limits)
    indices = (*sampled, sampled[-1]) if count % 2 else tuple(sampled)
    times = [index / footage.fps for index in indices]
    stamps = tuple((a + b) / 2 for a, b in zip(times[::2], times[1::2], strict=True))
    return ClipPlan(indices, stamps, width, height)
