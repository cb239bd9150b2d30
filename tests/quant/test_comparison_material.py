"""What models are compared on: folders, captions, questions, and what is drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import Picture
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.prompt import ChatTemplate, SpecialTokens
from qwen3vl_edge.quant.comparison.held_out import held_out
from qwen3vl_edge.quant.comparison.material import (
    Question,
    clip_questions,
    picture_questions,
    read_passage,
    read_questions,
)
from qwen3vl_edge.runtime.engine import EngineInfo
from qwen3vl_edge.sampling import Sampling
from tests.damaged_clips import write_film

INFO = EngineInfo(
    "m", "i", ChatTemplate("", SpecialTokens((), ())), ImageLimits(4096, 1 << 20), VideoLimits(), Sampling()
)
SAMPLES = Path(__file__).parents[2] / "samples"


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((SAMPLES / "red_circle.png").read_bytes() + name.encode())
    return tmp_path


def test_each_picture_is_asked_each_question(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "b.png", "a.PNG", "deep/c.jpg", "notes.md")
    asked = picture_questions(folder, ["One?", "Two?"])
    assert [(Path(each.sight.name).name, each.text) for each in asked] == [
        (name, text) for name in ("a.PNG", "b.png", "c.jpg") for text in ("One?", "Two?")
    ]
    assert len({each.sight.identity for each in asked}) == 3
    shown = asked[0].sight.load(INFO)
    assert isinstance(shown, Picture)


def test_copies_of_a_picture_are_asked_about_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert [Path(each.sight.name).name for each in picture_questions(folder, ["?"])] == ["a.png"]


def test_the_size_of_what_is_shown_is_bounded_and_part_of_the_name(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "large.png")
    write_film(tmp_path / "a.mp4", 16)
    (few,), (many,) = (picture_questions(tmp_path, ["?"], max_tokens=most) for most in (20, 200))
    assert len(pixels(few)) * pixels(few).shape[1] <= 20 * 32**2 < len(pixels(many)) * pixels(many).shape[1]
    assert few.sight.identity != many.sight.identity
    (two,), (four,) = (clip_questions(tmp_path, ["?"], options=ClipOptions(n_frames=n)) for n in (2, 4))
    assert len(pixels(two)) * 2 == len(pixels(four))
    assert two.sight.identity != four.sight.identity


def test_some_of_many_are_spread_evenly(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{i}.png" for i in range(10)))
    names = [Path(each.sight.name).stem for each in picture_questions(folder, ["?"], most=3)]
    assert names == ["0", "3", "6"]
    assert len(picture_questions(folder, ["?"], most=99)) == 10


def test_captions_stand_for_the_first_answer(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.png", "b.png")
    (tmp_path / "a.txt").write_text("A red circle.\n")
    asked = picture_questions(folder, ["One?", "Two?"], captions=True)
    assert [each.given for each in asked] == ["A red circle.", None, None, None]
    assert all(each.given is None for each in picture_questions(folder, ["One?"]))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(MediaError, match="UTF-8"):
        picture_questions(folder, ["One?"], captions=True)


def test_nothing_to_ask_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures"):
        picture_questions(tmp_path, ["?"])
    with pytest.raises(UsageError, match="no clips"):
        clip_questions(tmp_path, ["?"])
    folder = folder_of(tmp_path, "a.png")
    with pytest.raises(UsageError, match="caption"):
        picture_questions(folder, ["?"], captions=True)
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n\n")
    with pytest.raises(UsageError, match="no question"):
        read_questions(empty)
    with pytest.raises(UsageError, match="empty"):
        read_passage(empty)


def test_questions_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("One?\r\n\n  Two? \n")
    assert read_questions(path) == ("One?", "Two?")


def pixels(question: Question) -> np.ndarray:
    shown = question.sight.load(INFO)
    frames = [shown.pixels] if isinstance(shown, Picture) else [f for pair in shown.pairs for f in pair]  # type: ignore[union-attr]
    return np.concatenate(frames)


def test_what_is_drawn_is_the_same_every_time_and_no_two_alike() -> None:
    first, again = held_out(), held_out()
    assert [each.text for each in first.questions] == [each.text for each in again.questions]
    drawn = {each.sight.identity: pixels(each) for each in first.questions}
    same = {each.sight.identity: pixels(each) for each in again.questions}
    assert all(np.array_equal(drawn[name], same[name]) for name in drawn)
    assert len({each.tobytes() for each in drawn.values()}) == len(drawn) == 32
    assert first.passage == again.passage
    kinds = [each.sight.kind for each in first.questions]
    assert (kinds.count("picture"), kinds.count("clip")) == (72, 16)


def test_drawn_pictures_show_what_is_asked_about() -> None:
    """A question names a shape or a colour that is in the picture: looked for by its colour."""
    for question in held_out().questions:
        if question.sight.kind == "picture" and question.text.startswith("What shape is"):
            colour = question.text.removeprefix("What shape is ").removesuffix("?")
            reds = {
                "red": (212, 36, 38),
                "green": (36, 152, 58),
                "blue": (38, 76, 212),
                "yellow": (236, 210, 30),
            }
            others = {
                "orange": (244, 130, 20),
                "purple": (126, 36, 164),
                "pink": (244, 136, 188),
                "black": (30, 30, 32),
            }
            found = (pixels(question) == (reds | others)[colour]).all(axis=-1).mean()
            assert 0.002 < found < 0.5, question.sight.name


def test_drawn_clips_move() -> None:
    for question in held_out().questions[-16::2]:
        shown = question.sight.load(INFO)
        assert isinstance(shown, Clip)
        first, last = shown.pairs[0][0], shown.pairs[-1][-1]
        assert (first != last).any(axis=-1).mean() > 0.01
