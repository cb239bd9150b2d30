"""The clips of the default set, by number: each frame is drawn for its time."""

from collections.abc import Callable

import cv2
import numpy as np

from qwen3vl_edge.clips import Clip, ClipOptions, Footage, clip_of, plan_clip
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.quant.calibration.drawing import figures, surfaces
from qwen3vl_edge.quant.calibration.drawing.canvas import COLORS, WORDS, blank, choose, write

__all__ = ["N_FILMS", "draw_film"]

_FrameAt = Callable[[float], Pixels]
"""Draws the frame at a share, 0 to 1, of the film."""

_SIZES = ((256, 384), (320, 320), (288, 512), (384, 256))  # (height, width)
_FPS, _SECONDS, _SHOWN = 24.0, (2.0, 4.0, 8.0), (4, 8, 12)
_SEED = 20261

N_FILMS = 10
"""How many there are."""


def draw_film(number: int, limits: VideoLimits, source: str) -> Clip:
    """Draw clip `number`, from 0: 2 to 8 seconds, of which 4 to 12 frames are shown."""
    rng = np.random.default_rng((_SEED, number))
    height, width = _SIZES[number % len(_SIZES)]
    seconds, n_shown = _SECONDS[number % len(_SECONDS)], _SHOWN[number // 2 % len(_SHOWN)]
    footage = Footage(int(_FPS * seconds), _FPS, width, height)
    plan = plan_clip(footage, limits, ClipOptions(n_frames=n_shown))
    draw = _KINDS[number % len(_KINDS)](rng, plan.height, plan.width)
    return clip_of(plan, [draw(index / (footage.n_frames - 1)) for index in plan.indices], source)


def _moving_ball(rng: np.random.Generator, height: int, width: int) -> _FrameAt:
    """Draw a ball that crosses a landscape or a plain in an arc."""
    behind = surfaces.landscape(rng, height, width)
    ink, radius = COLORS[int(rng.integers(len(COLORS)))], max(min(height, width) // 9, 2)
    leftwards = rng.random() < 0.5

    def frame(share: float) -> Pixels:
        x = (1 - share if leftwards else share) * width
        y = height * (0.8 - 2.2 * share * (1 - share))
        sheet = behind.copy()
        cv2.circle(sheet, (int(x), int(y)), radius, ink, -1, cv2.LINE_AA)
        return sheet

    return frame


def _pan(rng: np.random.Generator, height: int, width: int) -> _FrameAt:
    """Look along a landscape that is wider than the frame."""
    wide = surfaces.landscape(rng, height, 2 * width)

    def frame(share: float) -> Pixels:
        left = int(share * width)
        return np.ascontiguousarray(wide[:, left : left + width])

    return frame


def _news(rng: np.random.Generator, height: int, width: int) -> _FrameAt:
    """Show one word after another over a texture, and a clock that counts."""
    behind = surfaces.texture(rng, height, width) // 2
    words = [choose(rng, WORDS) for _ in range(4)]
    size = max(height // 8, 11)

    def frame(share: float) -> Pixels:
        sheet = behind.copy()
        write(sheet, words[min(int(share * 4), 3)], size, height // 2, size, (255, 255, 255), 700)
        write(sheet, f"00:{int(share * 59):02}", size, height - size // 2, size, (255, 220, 90))
        return sheet

    return frame


def _fade(rng: np.random.Generator, height: int, width: int) -> _FrameAt:
    """Let one scene become another."""
    first, last = surfaces.still_life(rng, height, width), figures.shapes(rng, height, width)

    def frame(share: float) -> Pixels:
        return np.asarray(cv2.addWeighted(first, 1 - share, last, share, 0), np.uint8)

    return frame


def _appearing(rng: np.random.Generator, height: int, width: int) -> _FrameAt:
    """Let shapes appear on a sheet, one after another."""
    seeds = rng.integers(1 << 31, size=5)

    def frame(share: float) -> Pixels:
        sheet = blank(height, width, (240, 240, 244))
        for number, seed in enumerate(seeds):
            if share >= number / len(seeds):
                each = np.random.default_rng(int(seed))
                center = int(each.integers(width)), int(each.integers(height))
                figures.shape(sheet, each, center, min(height, width) // 6)
        return sheet

    return frame


_KINDS: tuple[Callable[[np.random.Generator, int, int], _FrameAt], ...] = (
    _moving_ball,
    _news,
    _pan,
    _appearing,
    _fade,
)
