"""Small pictures of what was attached, as text for the terminal."""

from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qwen3vl_edge.cli.preview_codes import half_blocks, iterm2_image, kitty_image, sixels
from qwen3vl_edge.cli.preview_protocol import Ask, Cell, Protocol, ask_cell, detect_protocol, has_truecolor
from qwen3vl_edge.images import Pixels, resize

__all__ = [
    "MAX_ROWS",
    "MAX_SIDE_PX",
    "Ask",
    "Cell",
    "Protocol",
    "ask_cell",
    "detect_protocol",
    "has_truecolor",
    "preview",
]

MAX_ROWS: Final = 20
"""Lines of the screen that a preview takes at most."""

MAX_SIDE_PX: Final = 640
"""Pixels a side that are sent at most: twenty lines of a dense screen are hardly higher."""

_SMALLEST_CELL: Final = Cell(6, 12)
"""Taken where none was told: a sixel picture may come out small then, never wider than its columns."""


def preview(
    pixels: NDArray[np.uint8],
    columns: int,
    protocol: Protocol,
    truecolor: bool = False,
    *,
    rows: int = MAX_ROWS,
    cell: Cell | None = None,
) -> str:
    """Draw a picture, its aspect kept, in `columns` × min(`columns` / 2, `rows`) character cells.

    The text is for the left edge of a line, ends with a line end, and leaves the cursor below the picture.

    Args:
        pixels: RGB, shape (height, width, 3).
        columns: Character cells that the picture may be wide.
        protocol: What `detect_protocol` found.
        truecolor: Half-blocks in 24-bit colours rather than xterm's 256.
        rows: Lines that it may be high; no more than the screen has, less one, and never over `MAX_ROWS`.
        cell: From `ask_cell`; None where it is not known: twice as high as wide.

    Returns:
        "" for the protocol "none", without columns or rows, and for a picture without pixels.
    """
    n_rows = min(max(columns // 2, 1), rows, MAX_ROWS)
    if protocol == "none" or columns < 1 or n_rows < 1 or pixels.size == 0:
        return ""
    size = cell or _SMALLEST_CELL
    width_px, height_px = _fitted(pixels, columns * size.width_px, n_rows * size.height_px)
    if protocol == "blocks":
        halves = _whole(width_px / size.width_px, height_px * 2 / size.height_px)
        return half_blocks(_scaled(pixels, *halves), truecolor=truecolor)
    if protocol == "sixel":
        dots = _bounded(width_px, height_px)
        return _reserved(sixels(_scaled(pixels, *dots)), ceil(dots[1] / size.height_px))
    encode = kitty_image if protocol == "kitty" else iterm2_image
    cells = _whole(width_px / size.width_px, height_px / size.height_px)
    height, width = pixels.shape[:2]
    return _reserved(encode(_scaled(pixels, *_bounded(width, height)), *cells), cells[1])


def _fitted(pixels: NDArray[np.uint8], width_px: float, height_px: float) -> tuple[float, float]:
    """Give width and height of the picture when it fills the box one way and keeps its aspect."""
    height, width = pixels.shape[:2]
    scale = min(width_px / width, height_px / height)
    return width * scale, height * scale


def _bounded(width_px: float, height_px: float) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE_PX / max(width_px, height_px))
    return max(int(width_px * scale), 1), max(int(height_px * scale), 1)


def _whole(width: float, height: float) -> tuple[int, int]:
    return max(round(width), 1), max(round(height), 1)


def _scaled(pixels: NDArray[np.uint8], width: int, height: int) -> Pixels:
    return resize(Image.fromarray(pixels), width, height)


def _reserved(picture: str, n_rows: int) -> str:
    """Make room of `n_rows` lines, draw in it, and go to the line below it.

    Where the cursor stands after a picture differs from terminal to terminal (chafa issue 192), so it is
    saved before and brought back after: DECSC and DECRC, VT510 manual.
    """
    return "\n" * n_rows + f"\x1b[{n_rows}A\x1b7{picture}\x1b8" + "\n" * n_rows
