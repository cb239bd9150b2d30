"""What all drawings are made with: colors, words, letters."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.images import Pixels

__all__ = [
    "COLORS",
    "INK",
    "PAPER",
    "WORDS",
    "Color",
    "blank",
    "choose",
    "color",
    "paste",
    "text_width",
    "write",
]

Color = tuple[int, int, int]

COLORS: tuple[Color, ...] = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (255, 187, 40),
    (148, 103, 189),
    (240, 120, 30),
    (23, 190, 207),
    (227, 119, 194),
    (140, 86, 75),
    (60, 60, 70),
)
PAPER: tuple[Color, ...] = ((255, 255, 255), (250, 246, 235), (235, 240, 246), (30, 34, 42), (244, 236, 240))
INK: Color = (20, 20, 24)

WORDS: tuple[str, ...] = (
    "North", "South", "Apples", "Pears", "Monday", "Friday", "Total", "Speed", "Width", "Coffee", "Train 14",
    "Zürich", "Straße", "Größe", "Español", "año", "São Paulo", "garçon", "Łódź", "česky", "İzmir",
    "Москва", "Привет", "выход", "Αθήνα", "καλημέρα", "ώρα",
    "出口", "北京", "你好世界", "价格", "図書館", "ありがとう", "カメラ", "안녕하세요", "서울",
)  # fmt: skip
"""Short texts in the scripts that OpenCV's own fonts hold: Latin, Cyrillic, Greek, Han, Kana, Hangul."""


def blank(height: int, width: int, background: Color) -> Pixels:
    """Give a sheet of one color, shape (height, width, 3)."""
    return np.full((height, width, 3), background, np.uint8)


def color(rng: np.random.Generator, *, avoid: Color | None = None) -> Color:
    """Choose a color that can be told from `avoid`."""
    away = [
        c for c in COLORS if avoid is None or sum(abs(a - b) for a, b in zip(c, avoid, strict=True)) > 120
    ]
    return away[int(rng.integers(len(away)))]


def choose(rng: np.random.Generator, items: Sequence[str]) -> str:
    """Choose one of `items`."""
    return items[int(rng.integers(len(items)))]


def write(  # noqa: PLR0913, PLR0917 -- what OpenCV wants to know
    sheet: Pixels, text: str, left: int, base: int, size: int, ink: Color = INK, weight: int = 400
) -> None:
    """Write `text`, `size` px high, on the line `base`; what does not fit goes on below."""
    cv2.putText(sheet, text, (left, base), ink, _font(), size, weight)


def text_width(text: str, size: int) -> int:
    """Give the width of `text` in px."""
    _, _, width, _ = cv2.getTextSize((1 << 14, 4 * size), text, (0, 2 * size), _font(), size)
    return int(width)


def paste(sheet: Pixels, picture: NDArray[np.uint8], left: int, top: int) -> None:
    """Lay `picture`, shape (h, w, 3), on `sheet`, as far as it lies on it."""
    height, width = min(len(picture), len(sheet) - top), min(picture.shape[1], sheet.shape[1] - left)
    sheet[top : top + height, left : left + width] = picture[:height, :width]


def _font() -> cv2.FontFace:
    return cv2.FontFace("uni")
