"""Shapes, charts and tables."""

import cv2
import numpy as np

from qwen3vl_edge.images import Pixels
from qwen3vl_edge.quant.calibration.drawing.canvas import (
    INK,
    PAPER,
    WORDS,
    blank,
    choose,
    color,
    text_width,
    write,
)

__all__ = ["bar_chart", "line_chart", "pie_chart", "shape", "shapes", "table"]

_LATIN = WORDS[:21]
_CORNERS = (3, 4, 5, 6)


def shape(sheet: Pixels, rng: np.random.Generator, center: tuple[int, int], radius: int) -> None:
    """Draw one shape, filled or in outline, turned at random."""
    ink = color(rng, avoid=tuple(map(int, sheet[center[1], center[0]])))  # type: ignore[arg-type]
    thickness = -1 if rng.random() < 0.7 else max(radius // 6, 2)
    turn = rng.random() * 2 * np.pi
    kind = int(rng.integers(len(_CORNERS) + 2))
    if kind == len(_CORNERS):
        cv2.circle(sheet, center, radius, ink, thickness, cv2.LINE_AA)
    elif kind > len(_CORNERS):
        axes = (radius, max(radius // 2, 1))
        cv2.ellipse(sheet, center, axes, np.degrees(turn), 0, 360, ink, thickness, cv2.LINE_AA)
    else:
        angles = turn + 2 * np.pi * np.arange(_CORNERS[kind]) / _CORNERS[kind]
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * radius + center
        _polygon(sheet, corners.astype(np.int32), ink, thickness)


def shapes(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw one to nine shapes, some over others."""
    sheet = blank(height, width, PAPER[int(rng.integers(len(PAPER)))])
    for _ in range(int(rng.integers(1, 10))):
        center = int(rng.integers(width)), int(rng.integers(height))
        shape(sheet, rng, center, int(min(height, width) * rng.uniform(0.08, 0.28)))
    return sheet


def bar_chart(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw bars over names, with a title and values."""
    sheet = blank(height, width, PAPER[int(rng.integers(3))])
    size = max(height // 22, 11)
    top, bottom, left = 3 * size, height - 2 * size, 3 * size
    write(sheet, f"{choose(rng, _LATIN)} / {choose(rng, WORDS)}", left, 2 * size, size + 4, INK, 700)
    values = rng.integers(3, 100, int(rng.integers(3, 8)))
    step = (width - left - size) / len(values)
    for tick in range(0, 101, 25):
        y = int(bottom - (bottom - top) * tick / 100)
        cv2.line(sheet, (left, y), (width - size, y), (200, 200, 205), 1)
        write(sheet, str(tick), size // 2, y + size // 3, size)
    for i, value in enumerate(values):
        x, y = int(left + step * (i + 0.15)), int(bottom - (bottom - top) * value / 100)
        cv2.rectangle(sheet, (x, y), (int(x + step * 0.7), bottom), color(rng, avoid=PAPER[0]), -1)
        write(sheet, str(value), x, y - 3, size)
        write(sheet, choose(rng, WORDS)[:7], x, bottom + size + 2, size)
    return sheet


def line_chart(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw two or three curves over a grid, with a legend."""
    sheet = blank(height, width, PAPER[int(rng.integers(3))])
    size = max(height // 22, 11)
    left, right, top, bottom = 3 * size, width - size, 2 * size, height - 2 * size
    for tick in range(6):
        x, y = left + (right - left) * tick // 5, bottom - (bottom - top) * tick // 5
        cv2.line(sheet, (left, y), (right, y), (215, 215, 220), 1)
        cv2.line(sheet, (x, top), (x, bottom), (215, 215, 220), 1)
        write(sheet, f"{tick * 0.2:.1f}", size // 3, y + size // 3, size)
        write(sheet, str(2019 + tick), x - size, bottom + size + 3, size)
    for number in range(int(rng.integers(2, 4))):
        ink = color(rng, avoid=PAPER[0])
        steps = np.clip(0.5 + np.cumsum(rng.normal(0, 0.11, 24)), 0.02, 0.98)
        points = np.stack([np.linspace(left, right, 24), bottom - (bottom - top) * steps], 1)
        cv2.polylines(sheet, [points.astype(np.int32)], False, ink, max(size // 6, 2), cv2.LINE_AA)
        write(
            sheet,
            f"— {choose(rng, WORDS)}",
            left + size,
            top + int(1.4 * size * (number + 1)),
            size,
            ink,
            600,
        )
    return sheet


def pie_chart(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a pie of three to six parts, each with its share beside it."""
    sheet = blank(height, width, PAPER[int(rng.integers(3))])
    size = max(height // 22, 11)
    parts = rng.dirichlet(np.full(int(rng.integers(3, 7)), 2.0))
    center, radius = (int(width * 0.36), height // 2), int(min(height * 0.42, width * 0.32))
    start = rng.random() * 360
    for i, part in enumerate(parts):
        ink = color(rng, avoid=PAPER[0])
        cv2.ellipse(sheet, center, (radius, radius), 0, start, start + 360 * part, ink, -1, cv2.LINE_AA)
        cv2.ellipse(sheet, center, (radius, radius), 0, start, start + 360 * part, (255, 255, 255), 2)
        start += 360 * part
        y = height // 5 + int(1.6 * size * i)
        write(sheet, f"{part:.0%} {choose(rng, WORDS)}", int(width * 0.72), y, size, ink, 600)
    return sheet


def table(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a table: a dark head, names at the left, numbers at the right."""
    sheet = blank(height, width, (252, 252, 252))
    size = max(height // 24, 11)
    n_columns, row_height = int(rng.integers(2, 5)), 2 * size
    n_rows = height // row_height
    cv2.rectangle(sheet, (0, 0), (width, row_height), (50, 60, 80), -1)
    for row in range(n_rows):
        y = row * row_height
        cv2.line(sheet, (0, y), (width, y), (190, 190, 195), 1)
        for column in range(n_columns):
            left = column * width // n_columns
            numeric = row > 0 and column > 0
            text = _number(rng) if numeric else choose(rng, WORDS)[:9]
            indent = width // n_columns - text_width(text, size) - size // 2 if numeric else size // 2
            ink = (255, 255, 255) if row == 0 else INK
            write(
                sheet, text, left + max(indent, 2), y + int(1.4 * size), size, ink, 700 if row == 0 else 400
            )
            cv2.line(sheet, (left, 0), (left, n_rows * row_height), (190, 190, 195), 1)
    return sheet


def _number(rng: np.random.Generator) -> str:
    value = rng.random() * 10.0 ** int(rng.integers(1, 6))
    return str(
        rng.choice([f"{value:,.2f}", f"{value:.0f}", f"{value:.1f} kg", f"€{value:,.2f}", f"−{value:.1f}"])
    )


def _polygon(sheet: Pixels, corners: np.ndarray, ink: tuple[int, int, int], thickness: int) -> None:
    if thickness < 0:
        cv2.fillPoly(sheet, [corners], ink, cv2.LINE_AA)
    else:
        cv2.polylines(sheet, [corners], True, ink, thickness, cv2.LINE_AA)
