"""How large the model may see a picture or a clip, and the sizes that follow.

Sizes are in pixels; ``factor`` is the side of the square that becomes one token of the language
model: patch size × spatial merge, 16 × 2 = 32 px for the whole family.
"""

import math
from dataclasses import dataclass

from qwen3vl_edge.errors import MediaError

__all__ = [
    "MAX_ASPECT_RATIO",
    "ImageLimits",
    "MediaLimits",
    "VideoLimits",
    "clip_size",
    "smart_resize",
]

MAX_ASPECT_RATIO = 200
"""Longest over shortest side that the reference accepts (transformers 5.23 ``smart_resize``)."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Area of one picture; ``size`` of preprocessor_config.json. The defaults are the family's."""

    min_pixels: int = 65_536
    max_pixels: int = 16_777_216
    factor: int = 32


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Sampling and volume of one clip; video_preprocessor_config.json. The defaults are the family's.

    ``min_pixels`` and ``max_pixels`` bound frames × height × width. ``max_frame_tokens`` is the cap a
    frame of qwen-vl-utils 0.0.14 (``VIDEO_MAX_TOKEN_NUM``).
    """

    min_pixels: int = 4_096
    max_pixels: int = 25_165_824
    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    max_frame_tokens: int = 768
    factor: int = 32


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """How large a file may be before it is refused unread: against decompression bombs.

    ``max_pixels`` bounds the width × height that a picture claims, ``max_bytes`` a picture's file; clips
    are decoded frame by frame and bounded by neither. The default of pixels is where Pillow 13.0
    (``Image.MAX_IMAGE_PIXELS`` × 2) stops, too: half a gigabyte as RGB.
    """

    max_pixels: int = 178_956_970
    max_bytes: int = 1 << 30


def smart_resize(height: int, width: int, limits: ImageLimits) -> tuple[int, int]:
    """Give the (height, width) at which the reference shows a picture to the model.

    Both sides become multiples of ``limits.factor``, the area falls within the limits, and the
    aspect ratio is kept as far as that allows. Source: transformers 5.23,
    ``models/qwen2_vl/image_processing_pil_qwen2_vl.py``.

    Raises:
        MediaError: A side is empty or the aspect ratio is above `MAX_ASPECT_RATIO`.
    """
    return _fit(1, height, width, limits.factor, limits.min_pixels, limits.max_pixels)


def clip_size(n_frames: int, height: int, width: int, limits: VideoLimits) -> tuple[int, int]:
    """Give the (height, width) at which the reference shows each of `n_frames` sampled frames.

    The volume n_frames × height × width is fitted, after a cap on each frame: at most
    ``max_frame_tokens`` tokens or an even share of the budget, and at least 1.05 × ``min_pixels``.
    Source: transformers 5.23, ``models/qwen3_vl/video_processing_qwen3_vl.py`` (``smart_resize``
    and ``resize`` with ``cap_pixels_per_frame``), which follows qwen-vl-utils 0.0.14.

    Raises:
        MediaError: As for `smart_resize`.
    """
    n_frames = max(n_frames, 2)  # a single frame is repeated to make a temporal pair
    frame_cap = limits.max_frame_tokens * limits.factor**2
    frame_pixels = max(min(frame_cap, limits.max_pixels // n_frames), int(limits.min_pixels * 1.05))
    if 0 < min(height, width) < limits.factor:
        scale = max(limits.factor / height, limits.factor / width)
        height, width = int(height * scale), int(width * scale)
    return _fit(n_frames, height, width, limits.factor, limits.min_pixels, frame_pixels * n_frames)


def _fit(  # noqa: PLR0913, PLR0917 -- the reference's own arguments
    n_frames: int, height: int, width: int, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    if min(height, width) < 1:
        raise MediaError(f"a picture of {width}×{height} px is empty; give one with pixels")
    if max(height, width) / min(height, width) > MAX_ASPECT_RATIO:
        raise MediaError(
            f"a picture of {width}×{height} px is longer than {MAX_ASPECT_RATIO}:1, which the model "
            "does not accept; crop it"
        )
    # round() is Python's (half to even), here as in the reference
    fitted_height, fitted_width = round(height / factor) * factor, round(width / factor) * factor
    volume = (1 if n_frames == 1 else round(n_frames / 2) * 2) * fitted_height * fitted_width
    if volume > max_pixels:
        shrink = math.sqrt(n_frames * height * width / max_pixels)
        fitted_height = max(factor, math.floor(height / shrink / factor) * factor)
        fitted_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif volume < min_pixels:
        grow = math.sqrt(min_pixels / (n_frames * height * width))
        fitted_height = math.ceil(height * grow / factor) * factor
        fitted_width = math.ceil(width * grow / factor) * factor
    return fitted_height, fitted_width
