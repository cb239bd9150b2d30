"""Where the metadata differs on purpose from llama.cpp's converter; docs/conversion.md lists the same."""

from dataclasses import dataclass

__all__ = ["HUB_DIFFERENCES", "MODEL_DIFFERENCES", "PROJECTOR_DIFFERENCES", "Difference"]


@dataclass(frozen=True)
class Difference:
    """One key that may differ, and why."""

    key: str
    reason: str


_VERSION = Difference("qwen3vl_edge.version", "which version made the file")
_LIMITS = "llama.cpp has no key that says how the reference sizes pictures and samples clips"
_ORIGIN = "only where the checkpoint comes from the hub: the file says which"

MODEL_DIFFERENCES = (
    _VERSION,
    Difference("general.quantized_by", "only in files of a quantized type; there, nothing says who did it"),
)
PROJECTOR_DIFFERENCES = (
    _VERSION,
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
# In both files, beside the above; names and sizes then follow from the repository instead of the folder.
HUB_DIFFERENCES = (
    Difference("qwen3vl_edge.source.repository", _ORIGIN),
    Difference("qwen3vl_edge.source.revision", _ORIGIN),
    Difference("general.source.url", _ORIGIN),
    Difference("general.source.repo_url", _ORIGIN),
    Difference("general.organization", _ORIGIN),
)
