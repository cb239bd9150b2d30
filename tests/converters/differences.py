"""Where the metadata differs on purpose from llama.cpp's converter; docs/conversion.md lists the same."""

from dataclasses import dataclass

__all__ = ["PROJECTOR_DIFFERENCES", "Difference"]


@dataclass(frozen=True)
class Difference:
    """One key that may differ, and why."""

    key: str
    reason: str


_LIMITS = "llama.cpp has no key that says how the reference sizes pictures and samples clips"

PROJECTOR_DIFFERENCES = (
    Difference("qwen3vl_edge.image.min_pixels", _LIMITS),
    Difference("qwen3vl_edge.image.max_pixels", _LIMITS),
    Difference("qwen3vl_edge.video.min_pixels", _LIMITS),
    Difference("qwen3vl_edge.video.max_pixels", _LIMITS),
    Difference("qwen3vl_edge.video.fps", _LIMITS),
    Difference("qwen3vl_edge.video.min_frames", _LIMITS),
    Difference("qwen3vl_edge.video.max_frames", _LIMITS),
    Difference(
        "clip.vision.attention.layer_norm_epsilon",
        "the reference's vision norms use 1e-6; there, the text model's rms_norm_eps is written",
    ),
)
