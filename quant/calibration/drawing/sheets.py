"""The pictures of the default set, by number."""

from collections.abc import Callable

import numpy as np

from qwen3vl_edge.images import Pixels
from qwen3vl_edge.limits import ImageLimits, smart_resize
from qwen3vl_edge.quant.calibration.drawing import figures, pages, surfaces

__all__ = ["N_PICTURES", "draw_picture"]

_Draw = Callable[[np.random.Generator, int, int], Pixels]

_KINDS: tuple[_Draw, ...] = (
    figures.shapes,
    pages.page,
    surfaces.landscape,
    figures.bar_chart,
    surfaces.still_life,
    pages.sign,
    figures.table,
    surfaces.texture,
    pages.receipt,
    figures.line_chart,
    surfaces.gradient,
    pages.screen,
    figures.pie_chart,
)
_SIZES = (
    (448, 448),
    (336, 512),
    (512, 320),
    (384, 640),
    (576, 576),
    (288, 288),
    (640, 448),
)  # (height, width)
_SEED = 20260

N_PICTURES = 4 * len(_KINDS)
"""How many there are."""


def draw_picture(number: int, limits: ImageLimits) -> Pixels:
    """Draw picture `number`, from 0, in a size that the model is shown as it is, shape (height, width, 3)."""
    rng = np.random.default_rng((_SEED, number))
    height, width = smart_resize(*_SIZES[number % len(_SIZES)], limits)
    return _KINDS[number % len(_KINDS)](rng, height, width)
