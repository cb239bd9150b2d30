"""What to show of a clip, as a value."""

import math
from dataclasses import dataclass, replace

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import VideoLimits

__all__ = ["DEFAULT_OPTIONS", "FRAMES_A_MOMENT", "LEAST_FPS", "ClipOptions"]

FRAMES_A_MOMENT = 2
"""Frames that the encoder takes at once."""
LEAST_FPS, _MOST_FPS = 1e-4, 1e4  # one frame in three hours; a camera of the laboratory


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """What to show of a clip; None leaves it to the model's own limits.

    ``fps`` is how many frames of a second are shown, ``n_frames`` how many of the clip, ``start_s`` and
    ``end_s`` bound the part that is shown, ``max_tokens`` what its frames may take together, and
    ``max_frame_tokens`` one of them (a pair of frames takes as much as one).

    Raises:
        UsageError: A number is out of range, or two contradict each other.
    """

    fps: float | None = None
    n_frames: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    max_tokens: int | None = None
    max_frame_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and self.n_frames is not None:
            raise UsageError("--fps and --frames cannot both say how many frames are shown; give one of them")
        if self.fps is not None and not LEAST_FPS <= self.fps <= _MOST_FPS:
            raise UsageError(
                f"{self.fps:g} frames a second cannot be shown; ask for {LEAST_FPS:g} to {_MOST_FPS:g}"
            )
        for name in ("n_frames", "max_tokens", "max_frame_tokens"):
            count: int | None = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"a clip cannot be shown with {name} {count}; ask for 1 or more")
        start, end = self.start_s or 0.0, math.inf if self.end_s is None else self.end_s
        if not 0 <= start < math.inf or not start <= end:
            raise UsageError(f"there is nothing from {start:g} s to {end:g} s; give a start before the end")

    def limits(self, limits: VideoLimits) -> VideoLimits:
        """Give `limits` with these caps in place of the model's.

        A pair of frames is one token a square, so a clip's tokens are half its volume:
        ``total_pixels`` of qwen-vl-utils 0.0.14 (``fetch_video``) counts pairs, ``longest_edge`` of
        transformers 5.23 frames.
        """
        if self.max_tokens is not None:
            limits = replace(limits, max_pixels=self.max_tokens * FRAMES_A_MOMENT * limits.factor**2)
        if self.max_frame_tokens is not None:
            limits = replace(limits, max_frame_tokens=self.max_frame_tokens)
        return limits if self.fps is None else replace(limits, fps=self.fps)


DEFAULT_OPTIONS = ClipOptions()
"""What the reference does."""
