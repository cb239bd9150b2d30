"""The set that comes along: drawn the same everywhere, and every letter of it."""

import numpy as np
import pytest

from qwen3vl_edge.images import Picture
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.quant.calibration.default_set import TEXTS, default_clips, default_pictures, default_text
from qwen3vl_edge.quant.calibration.drawing import N_FILMS, N_PICTURES, draw_film, draw_picture
from qwen3vl_edge.quant.calibration.drawing.canvas import WORDS, blank, write
from qwen3vl_edge.quant.calibration.drawing.pages import _LINES
from qwen3vl_edge.quant.calibration.pieces import CLIP_QUESTIONS, PICTURE_QUESTIONS, Question

SMALL = ImageLimits(min_pixels=4096, max_pixels=65_536)
SMALL_CLIP = VideoLimits(min_pixels=4096, max_pixels=262_144)


def test_pictures_are_drawn_as_the_model_is_shown_them() -> None:
    for limits in (ImageLimits(), SMALL):
        digests = set()
        for number in range(N_PICTURES):
            pixels = draw_picture(number, limits)
            height, width, _ = pixels.shape
            assert pixels.dtype == np.uint8
            assert height % 32 == width % 32 == 0
            assert limits.min_pixels <= height * width <= limits.max_pixels
            assert pixels.std() > 5, f"picture {number} shows nothing"
            digests.add(Picture(pixels, "").vision.digest)
        assert len(digests) == N_PICTURES


def test_pictures_are_the_same_each_time() -> None:
    for number in range(N_PICTURES):
        assert (draw_picture(number, SMALL) == draw_picture(number, SMALL)).all()


@pytest.mark.parametrize("number", range(N_FILMS))
def test_clips_move_and_are_the_same_each_time(number: int) -> None:
    first, again = (draw_film(number, SMALL_CLIP, "drawn") for _ in range(2))
    assert [moment.digest for moment in first.moments] == [moment.digest for moment in again.moments]
    assert len({moment.digest for moment in first.moments}) == len(first.moments) >= 2
    assert first.plan.stamps_s == tuple(sorted(first.plan.stamps_s))
    assert all(frame.shape == (first.plan.height, first.plan.width, 3) for frame in first.moments[0].frames)


def test_every_letter_is_in_the_font() -> None:
    """OpenCV draws a question mark for what it has not."""

    def drawn(letter: str) -> bytes:
        sheet = blank(48, 64, (255, 255, 255))
        write(sheet, letter, 8, 36, 28)
        return sheet.tobytes()

    letters = {letter for text in (*WORDS, *_LINES) for letter in text if letter not in " ?"}
    assert len(letters) > 200
    assert [letter for letter in sorted(letters) if drawn(letter) in {drawn("?"), drawn(" ")}] == []


def test_the_text_has_many_scripts_and_code() -> None:
    text = default_text()
    assert 30_000 < len(text.encode()) < 60_000
    scripts = {"я": "Cyrillic", "ρ": "Greek", "的": "Han", "の": "Kana", "는": "Hangul", "ال": "Arabic"}
    assert [name for sign, name in scripts.items() if sign not in text] == []
    assert "def " in text
    assert "#include" in text
    assert "SELECT" in text
    lines = [line for line in text.splitlines() if len(line) > 60]
    assert len(lines) == len(set(lines)), "the same line twice teaches nothing"
    assert len(TEXTS) == 4


def test_every_form_of_question_is_asked() -> None:
    for pieces, forms in ((default_pictures(), PICTURE_QUESTIONS), (default_clips(), CLIP_QUESTIONS)):
        assert {piece.text for piece in pieces if isinstance(piece, Question)} == set(forms)
        assert len({piece.identity for piece in pieces}) == len(pieces)
