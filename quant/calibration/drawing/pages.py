"""Written text: pages, signs, receipts and screens in several scripts."""

import cv2
import numpy as np

from qwen3vl_edge.images import Pixels
from qwen3vl_edge.quant.calibration.drawing.canvas import (
    COLORS,
    INK,
    PAPER,
    WORDS,
    blank,
    choose,
    color,
    paste,
    text_width,
    write,
)
from qwen3vl_edge.quant.calibration.drawing.surfaces import gradient, landscape, texture

__all__ = ["page", "receipt", "screen", "sign"]

_LINES = (
    "The meeting starts at 9:30 in room 204; bring the signed form and a pen.",
    "Der Zug nach Köln fährt heute von Gleis 7 und hält nicht in Düren.",
    "La boulangerie est fermée le lundi, sauf pendant les fêtes.",
    "El museo abre a las diez y la entrada cuesta ocho euros.",
    "Библиотека открыта по будням с девяти до восьми вечера.",
    "Το πλοίο φεύγει στις έξι το πρωί από την προβλήτα τρία.",
    "会议从上午九点半开始，请带好签字的表格和一支笔。",
    "雨の日は庭の水やりを休み、窓を閉めてから出かけます。",
    "도서관은 평일 아홉 시부터 여덟 시까지 문을 엽니다.",
    "A kávé 450 forint, a tea 300; kártyával is lehet fizetni.",
    "Proszę zamykać drzwi — w budynku jest zimno od października.",
    "x² + 3x − 4 = 0  ⇒  x₁ = 1, x₂ = −4;  ∑ a² = 12.5 ± 0.3",
)


def page(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a page of lines in several languages, with a heading; some of them turned or noisy like a scan."""
    background = PAPER[int(rng.integers(len(PAPER)))]
    ink = INK if sum(background) > 380 else (235, 235, 235)
    sheet = blank(height, width, background)
    size = int(rng.integers(13, 24))
    write(sheet, f"{choose(rng, WORDS)} {choose(rng, WORDS)}", size, 2 * size + 4, size + 8, ink, 800)
    base = 5 * size
    while base < height - size:
        text = choose(rng, _LINES)
        for line in _cut(text, size, width - 2 * size):
            write(sheet, line, size, base, size, ink)
            base += int(1.4 * size)
        base += int(rng.integers(size))
    if rng.random() < 0.4:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-6, 6), 1.0)
        sheet = cv2.warpAffine(sheet, turn, (width, height), borderValue=background).astype(np.uint8)
        sheet = np.clip(sheet + rng.normal(0, 8, sheet.shape), 0, 255).astype(np.uint8)
    return sheet


def _cut(text: str, size: int, width: int) -> list[str]:
    """Cut `text` into lines of about `width` px."""
    n_lines = -(-text_width(text, size) // max(width, size))
    n_characters = -(-len(text) // n_lines)
    return [text[start : start + n_characters] for start in range(0, len(text), n_characters)]


def sign(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a board with two large words in front of a landscape or a wall."""
    sheet = landscape(rng, height, width) if rng.random() < 0.5 else texture(rng, height, width)
    words = [choose(rng, WORDS) for _ in range(2)]
    size = max(min(height // 8, 48), 14)
    board_width = min(max(text_width(word, size) for word in words) + 2 * size, width - 4)
    board = blank(int(3.6 * size), board_width, COLORS[int(rng.integers(len(COLORS)))])
    cv2.rectangle(board, (4, 4), (board_width - 5, len(board) - 5), (255, 255, 255), 3)
    for number, word in enumerate(words):
        write(board, word, size, int(1.45 * size * (number + 1)), size, (255, 255, 255), 700)
    paste(
        sheet, board, int(rng.integers(width - board_width)), int(rng.integers(max(height - len(board), 1)))
    )
    return sheet


def receipt(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a narrow strip of paper on a desk: articles, prices, a sum, a date."""
    sheet = texture(rng, height, width)
    strip = blank(int(height * 0.94), int(width * 0.62), (248, 247, 242))
    size = max(len(strip) // 24, 11)
    write(strip, choose(rng, WORDS).upper(), size, 2 * size, size + 4, INK, 800)
    base, total = 4 * size, 0.0
    while base < len(strip) - 4 * size:
        price = float(np.round(rng.uniform(0.4, 60), 2))
        total += price
        write(strip, f"{rng.integers(1, 5)} × {choose(rng, WORDS)}", size, base, size)
        write(strip, f"{price:.2f}", strip.shape[1] - 5 * size, base, size)
        base += int(1.5 * size)
    cv2.line(strip, (size, base - size // 2), (strip.shape[1] - size, base - size // 2), INK, 1)
    write(strip, f"TOTAL  {total:.2f} EUR", size, base + size, size + 2, INK, 800)
    write(
        strip, f"2026-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}", size, base + int(2.5 * size), size
    )
    paste(sheet, strip, int(width * 0.2), int(height * 0.03))
    return sheet


def screen(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a program's window: a bar with a title, buttons, a list, a field with a picture."""
    sheet = gradient(rng, height, width)
    size = max(height // 26, 11)
    window = blank(height - 2 * size, width - 2 * size, (245, 246, 248))
    cv2.rectangle(window, (0, 0), (window.shape[1], 2 * size), (70, 78, 96), -1)
    write(
        window,
        f"{choose(rng, WORDS)} — {choose(rng, WORDS)}.txt",
        size,
        int(1.4 * size),
        size,
        (255, 255, 255),
    )
    for number, light in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
        cv2.circle(
            window, (window.shape[1] - size * (2 + 2 * number), size), size // 2, light, -1, cv2.LINE_AA
        )
    for row in range((len(window) - 5 * size) // (2 * size)):
        base = int(3.6 * size) + 2 * size * row
        chosen = row == int(rng.integers(5))
        if chosen:
            cv2.rectangle(
                window,
                (0, base - int(1.3 * size)),
                (window.shape[1] // 2, base + size // 2),
                (190, 215, 250),
                -1,
            )
        cv2.rectangle(window, (size, base - size), (2 * size, base), (110, 115, 125), 1)
        write(window, choose(rng, WORDS), 3 * size, base, size, INK, 600 if chosen else 400)
    inset = texture(rng, len(window) // 2, window.shape[1] // 2 - 2 * size)
    paste(window, inset, window.shape[1] // 2 + size, 3 * size)
    left, top = window.shape[1] // 2 + size, len(window) - 4 * size
    cv2.rectangle(
        window, (left, top), (left + 8 * size, top + 2 * size), color(rng, avoid=(245, 246, 248)), -1
    )
    write(
        window,
        choose(rng, ("OK", "Save", "Abbrechen", "Далее", "確定", "취소")),
        left + size,
        top + int(1.4 * size),
        size,
        (255, 255, 255),
        700,
    )
    paste(sheet, window, size, size)
    return sheet
