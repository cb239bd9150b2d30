"""The reference's pixel rules: stretch to multiples of 32, sample clips at 2 fps, cut into patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

PATCH_PX = 16
MERGE = 2
FACTOR_PX = PATCH_PX * MERGE
TEMPORAL_PATCH = 2

# Limits of this world. The published family starts at 65536 pixels and would enlarge every picture here.
IMAGE_MIN_PIXELS, IMAGE_MAX_PIXELS = 16_384, 65_536
# A clip's budget counts the pixels of all its frames together.
CLIP_MIN_PIXELS, CLIP_MAX_PIXELS = 16_384, 196_608
CLIP_FPS, CLIP_MIN_FRAMES, CLIP_MAX_FRAMES = 2.0, 4, 768

Grid = tuple[int, int, int]  # temporal, rows, columns in patches


@dataclass(frozen=True)
class Patches:
    """``values`` is (t*h*w, 3*2*16*16) uint8 in the order the vision tower expects."""

    values: npt.NDArray[np.uint8]
    grid: Grid

    @property
    def n_tokens(self) -> int:
        """Language-model tokens of the whole picture or clip."""
        t, h, w = self.grid
        return t * h * w // MERGE**2


def smart_resize(height: int, width: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Height and width, multiples of 32, whose product lies within the limits."""
    rows, columns = (max(FACTOR_PX, round(side / FACTOR_PX) * FACTOR_PX) for side in (height, width))
    if rows * columns > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        rows, columns = (
            max(FACTOR_PX, math.floor(s / beta / FACTOR_PX) * FACTOR_PX) for s in (height, width)
        )
    elif rows * columns < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        rows, columns = (math.ceil(s * beta / FACTOR_PX) * FACTOR_PX for s in (height, width))
    return rows, columns


def clip_size(n_frames: int, height: int, width: int) -> tuple[int, int]:
    """Frame size under the budget of the whole clip, floored a frame as qwen-vl-utils does."""
    per_frame = max(CLIP_MAX_PIXELS // n_frames, int(CLIP_MIN_PIXELS * 1.05))
    n_even = round(n_frames / TEMPORAL_PATCH) * TEMPORAL_PATCH
    rows, columns = (max(FACTOR_PX, round(side / FACTOR_PX) * FACTOR_PX) for side in (height, width))
    if n_even * rows * columns > per_frame * n_frames:
        beta = math.sqrt(height * width / per_frame)
        rows, columns = (
            max(FACTOR_PX, math.floor(s / beta / FACTOR_PX) * FACTOR_PX) for s in (height, width)
        )
    elif n_even * rows * columns < CLIP_MIN_PIXELS:
        beta = math.sqrt(CLIP_MIN_PIXELS / (n_frames * height * width))
        rows, columns = (math.ceil(s * beta / FACTOR_PX) * FACTOR_PX for s in (height, width))
    return rows, columns


def frame_indices(n_frames: int, fps: float) -> list[int]:
    """Native frames that the reference looks at."""
    wanted = min(max(int(n_frames / fps * CLIP_FPS), CLIP_MIN_FRAMES), CLIP_MAX_FRAMES, n_frames)
    indices: list[int] = np.linspace(0, n_frames - 1, wanted).round().astype(int).tolist()
    return indices


def stamps(indices: Sequence[int], fps: float) -> list[str]:
    """One time stamp per pair of frames, as it stands in the prompt."""
    padded = [*indices, indices[-1]] if len(indices) % TEMPORAL_PATCH else list(indices)
    return [f"{(a / fps + b / fps) / 2:.1f}" for a, b in zip(padded[::2], padded[1::2], strict=True)]


def image_patches(image: Image.Image) -> Patches:
    """Patches of a still picture; it fills both temporal slots."""
    rows, columns = smart_resize(image.height, image.width, IMAGE_MIN_PIXELS, IMAGE_MAX_PIXELS)
    return _patchify([_stretched(image, rows, columns)] * TEMPORAL_PATCH)


def clip_patches(frames: Sequence[Image.Image]) -> Patches:
    """Patches of sampled frames; the last one is repeated where their number is odd."""
    rows, columns = clip_size(len(frames), frames[0].height, frames[0].width)
    arrays = [_stretched(frame, rows, columns) for frame in frames]
    return _patchify(arrays + arrays[-1:] * (len(arrays) % TEMPORAL_PATCH))


def _stretched(image: Image.Image, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3) uint8."""
    rgb = image.convert("RGB")
    if rgb.size != (columns, rows):
        rgb = rgb.resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(rgb, dtype=np.uint8)


def _patchify(frames: list[npt.NDArray[np.uint8]]) -> Patches:
    video = np.stack(frames)  # (t, rows, columns, 3)
    t, rows, columns, channels = video.shape
    grid = t // TEMPORAL_PATCH, rows // PATCH_PX, columns // PATCH_PX
    cut = video.reshape(
        grid[0],
        TEMPORAL_PATCH,
        grid[1] // MERGE,
        MERGE,
        PATCH_PX,
        grid[2] // MERGE,
        MERGE,
        PATCH_PX,
        channels,
    )
    # -> pair, block row, block column, row and column in the block, channel, frame, y, x
    ordered = cut.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return Patches(np.ascontiguousarray(ordered).reshape(math.prod(grid), -1), grid)
