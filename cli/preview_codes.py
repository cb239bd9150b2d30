"""A picture, already of the right size, as the text that makes a terminal draw it.

Sources. Half-blocks: ECMA-48 8.3.117 (SGR) and the colours of xterm's ctlseqs. kitty: its
docs/graphics-protocol.rst, "Remote client" and "Controlling displayed image layout". iTerm2:
iterm2.com/documentation-images.html. Sixels: VT330/VT340 Programmer Reference Manual, chapter 14.

No library for sixels fits. `textual-image` 0.12 (LGPL) queries the terminal when its sixels are imported and
again to size them; `term-image` 0.7 holds Pillow below 11; `sixel` 0.2 is under the GPL, a fork of `PySixel`,
which is no longer kept; `libsixel-python` and `chafa.py` need or bring a native library.
"""

import re
from base64 import b64encode
from io import BytesIO
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qwen3vl_edge.images import Pixels

__all__ = ["half_blocks", "iterm2_image", "kitty_image", "sixels"]

_KITTY_CHUNK: Final = 4096  # base64 characters, a multiple of 4: more is not allowed in one sequence
_RESET: Final = "\x1b[0m"

_CUBE: Final = np.array([0, 95, 135, 175, 215, 255])
"""Levels of xterm's 6 × 6 × 6 colours, numbers 16 to 231 (256colres.pl of xterm)."""
_N_GREYS: Final = 24
"""Greys 8, 18 … 238, numbers 232 to 255."""

_SIXEL_ROWS: Final = 6
_SIXEL_COLORS: Final = 256
_SIXEL_ZERO: Final = 0x3F  # "?": six pixels, none of them drawn
_RUN: Final = re.compile(r"(.)\1{3,}")


def half_blocks(pixels: Pixels, *, truecolor: bool) -> str:
    """Draw with upper half-blocks: one cell a column, two rows a line, colours reset at each line's end.

    Args:
        pixels: RGB, shape (height, width, 3). Below an odd last row the terminal's own background shows.
        truecolor: 24-bit colours rather than the nearest of xterm's 256.
    """
    codes = _rgb_codes(pixels) if truecolor else _indexed_codes(pixels)
    lines = [
        _line(codes[top], codes[top + 1] if top + 1 < len(codes) else None) for top in range(0, len(codes), 2)
    ]
    return "".join(lines)


def _line(above: list[str], below: list[str] | None) -> str:
    """Write one line; a colour is only named where it changes."""
    under = [f"48;{code}" for code in below] if below is not None else [""] * len(above)
    cells = [("", ""), *zip((f"38;{code}" for code in above), under, strict=True)]
    return "".join(_cell(left, right) for left, right in pairwise(cells)) + f"{_RESET}\n"


def _cell(left: tuple[str, str], right: tuple[str, str]) -> str:
    changes = ";".join(new for old, new in zip(left, right, strict=True) if new != old)
    return f"\x1b[{changes}m▀" if changes else "▀"


def _rgb_codes(pixels: Pixels) -> list[list[str]]:
    return [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in pixels.tolist()]


def _indexed_codes(pixels: Pixels) -> list[list[str]]:
    return [[f"5;{index}" for index in row] for row in _nearest_256(pixels).tolist()]


def _nearest_256(pixels: Pixels) -> NDArray[np.int64]:
    """Return the numbers, 16 to 255, of the nearest colours by squared distance: shape (height, width).

    The nearest colour of the cube has the nearest level of each channel, the nearest grey lies nearest to
    their mean.
    """
    rgb = pixels.astype(np.int64)
    level = np.abs(rgb[..., None] - _CUBE).argmin(axis=-1)
    grey = np.clip(np.rint((rgb.mean(axis=-1) - 8) / 10), 0, _N_GREYS - 1).astype(np.int64)
    cube_error = ((rgb - _CUBE[level]) ** 2).sum(axis=-1)
    grey_error = ((rgb - (8 + 10 * grey)[..., None]) ** 2).sum(axis=-1)
    cube: NDArray[np.int64] = 16 + level @ np.array([36, 6, 1])
    return np.where(grey_error < cube_error, 232 + grey, cube)


def kitty_image(pixels: Pixels, columns: int, rows: int) -> str:
    """Send a PNG to be scaled to `columns` × `rows` cells; the terminal is told to answer nothing (q=2)."""
    data = b64encode(_png(pixels)).decode("ascii")
    chunks = [data[start : start + _KITTY_CHUNK] for start in range(0, len(data), _KITTY_CHUNK)]
    keys = [f"a=T,f=100,q=2,c={columns},r={rows},", *[""] * (len(chunks) - 1)]
    more = [1] * (len(chunks) - 1) + [0]
    parts = zip(keys, more, chunks, strict=True)
    return "".join(f"\x1b_G{key}m={m};{chunk}\x1b\\" for key, m, chunk in parts)


def iterm2_image(pixels: Pixels, columns: int, rows: int) -> str:
    """Send a PNG to be fitted into `columns` × `rows` cells."""
    png = _png(pixels)
    keys = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{b64encode(png).decode('ascii')}\x07"


def _png(pixels: Pixels) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sixels(pixels: Pixels) -> str:
    """Draw pixel by pixel in at most 256 colours chosen for the picture.

    P1 = 9 and the raster attributes both say square pixels; P2 = 1 leaves alone what is not drawn, below the
    last row. Colours are given in percent. Octrees choose them four times faster than median cut and make a
    third fewer characters of a photograph, for a mean error of 3.2 instead of 2.7 in 255.
    """
    height, width = pixels.shape[:2]
    chosen = Image.fromarray(pixels).quantize(_SIXEL_COLORS, Image.Quantize.FASTOCTREE)
    palette = np.array(chosen.getpalette("RGB"), dtype=np.int64).reshape(-1, 3)
    percent = np.rint(palette * 100 / 255).astype(np.int64).tolist()
    indices = np.asarray(chosen)
    colors = "".join("#{};2;{};{};{}".format(n, *percent[n]) for n in np.unique(indices).tolist())
    bands = [_band(indices[top : top + _SIXEL_ROWS]) for top in range(0, height, _SIXEL_ROWS)]
    return f'\x1bP9;1q"1;1;{width};{height}{colors}{"-".join(bands)}\x1b\\'


def _band(indices: NDArray[np.uint8]) -> str:
    """Write up to six rows of pixels, shape (rows, width): one pass over the line for each colour in them."""
    numbers, passes = np.unique(indices, return_inverse=True)
    bits = np.zeros((len(numbers), indices.shape[1]), dtype=np.uint8)
    for row, pass_of in enumerate(passes):
        bits[pass_of, np.arange(len(pass_of))] |= 1 << row
    return "$".join(f"#{n}{_runs(line)}" for n, line in zip(numbers.tolist(), bits, strict=True))


def _runs(bits: NDArray[np.uint8]) -> str:
    """Write one pass, equal characters in a row as a number and one, nothing after the last that draws."""
    text = (bits + _SIXEL_ZERO).tobytes().decode("ascii").rstrip(chr(_SIXEL_ZERO))
    return _RUN.sub(lambda run: f"!{len(run[0])}{run[1]}", text)
