import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.captions.openings import without_opening
from qwen3vl_edge.captions.repetition import without_repetition
from qwen3vl_edge.captions.wording import Wording, finish, wording_notes
from qwen3vl_edge.errors import UsageError


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The image shows a cat.", "A cat."),
        ("This image depicts two dogs. The image shows them well.", "Two dogs. The image shows them well."),
        ("The photo clearly shows\na cat.", "A cat."),
        ("In this image, a cat sits.", "A cat sits."),
        ("In the picture we can see a cat", "A cat"),
        ("In the image there is a cat", "A cat"),
        ("The video begins with a cat.", "A cat."),
        ("**Caption:** The picture shows iPhones", "iPhones"),
        ("Here is a caption for the image: A cat.", "A cat."),
        ("the photo shows a cat", "a cat"),
        ("The image is of a cat", "A cat"),
        ("L'image montre un chat.", "Un chat."),
        ("La imagen muestra un gato.", "Un gato."),
        ("L’immagine mostra un gatto.", "Un gatto."),
        ("A imagem mostra um gato.", "Um gato."),
        ("这张图片展示了一只猫。", "一只猫。"),
        # not openings, or nothing behind them
        ("The image is of high quality.", "The image is of high quality."),
        ("The image shows.", "The image shows."),
        ("In the image of God", "In the image of God"),
        ("The imagery shows a cat", "The imagery shows a cat"),
        ("A cat. The image shows it.", "A cat. The image shows it."),
        ("Das Bild zeigt einen Hund.", "Das Bild zeigt einen Hund."),
        ("The image showsa", "The image showsa"),
        ("", ""),
    ],
)
def test_openings_that_say_nothing_are_dropped(text: str, left: str) -> None:
    assert without_opening(text) == left


def test_own_phrases_are_dropped_beside_or_without_the_known_ones() -> None:
    assert without_opening("Featured here is  a cat.", ["featured HERE is"]) == "A cat."
    assert without_opening("Well: the image shows a cat", ["well"]) == "A cat"
    assert without_opening("The image shows a cat.", ["a photo"], known=False) == "The image shows a cat."
    assert without_opening("(c) a cat", ["(c)"]) == "a cat"
    assert without_opening("Catalogue of cats", ["cat"]) == "Catalogue of cats"


@given(st.text(max_size=80))
def test_without_openings_only_the_end_of_a_text_is_left(text: str) -> None:
    left = without_opening(text, ["ab", "x"])
    assert text.endswith(left[1:])


def test_a_loop_is_cut_after_its_first_round() -> None:
    assert without_repetition("Cats. A red cat. A red cat. A red cat. A red") == "Cats. A red cat."
    assert without_repetition("x, " * 50) == "x"
    assert without_repetition("no loop here") == "no loop here"
    assert without_repetition("") == ""


@given(
    st.text("abc ", max_size=8), st.text("xy.", min_size=1, max_size=6), st.integers(3, 9), st.integers(0, 5)
)
def test_of_any_loop_stay_at_most_two_rounds(before: str, period: str, n_rounds: int, n_more: int) -> None:
    looping = before + period * n_rounds + period[:n_more]
    left = without_repetition(looping)
    assert looping.startswith(left)
    assert len(left) <= len(before) + 2 * len(period)


def test_long_loops_take_no_time() -> None:
    began = time.process_time()
    without_repetition("ab" * 100_000)
    assert time.process_time() - began < 5  # a quadratic search would take hours


def test_what_a_caption_that_looped_keeps_is_decided_by_why_it_ended() -> None:
    looping = "A cat sits. It sits. It sits. It sits."
    assert finish(looping, Wording(), "loop") == "A cat sits. It sits."
    assert finish(looping, Wording(), "stop") == looping


@pytest.mark.parametrize(
    ("n_words", "left"),
    [
        (7, "One two three. Four five! Six seven"),
        (6, "One two three. Four five!"),
        (5, "One two three. Four five!"),
        (4, "One two three."),
        (2, "One two"),
        (1, "One"),
    ],
)
def test_the_longest_caption_ends_with_a_sentence_or_a_word(n_words: int, left: str) -> None:
    assert finish("One two three. Four five! Six seven", Wording(max_words=n_words)) == left


def test_a_cut_behind_a_word_leaves_no_comma() -> None:
    assert finish("red, green, blue", Wording(max_words=2)) == "red, green"
    assert finish("版本 3.5 is 3.5 wide", Wording(max_words=3)) == "版本 3.5 is"


def test_captions_that_were_cut_off_end_with_a_sentence_if_wanted() -> None:
    text, whole = "A cat. It has a v. of 3.5 and", Wording(whole_sentences=True)
    assert finish(text, whole, "length") == "A cat. It has a v."
    assert finish(text, whole, "stop") == text
    assert finish(text, Wording(), "length") == text
    assert finish("一只猫。它有", whole, "context") == "一只猫。"
    assert finish("no sentence ends here", whole, "length") == "no sentence ends here"


def test_what_is_put_around() -> None:
    rules = Wording(prefix="photo of ", suffix=", 4k", trigger="sks cat,")
    assert finish(" The image shows a cat \n", rules) == "sks cat, photo of A cat, 4k"
    assert finish("  \n", rules) == ""


def test_json_is_never_touched() -> None:
    rules = Wording("p", "s", "t", ("x",), max_words=1, whole_sentences=True)
    answer = '{"caption": "The image shows a cat. A b. A b. A b. A b."}'
    assert finish(f"\n{answer} ", rules, "length", structured=True) == answer


def test_what_is_not_whole_is_noted() -> None:
    assert wording_notes("stop", 9) == ()
    assert "9 tokens" in wording_notes("length", 9)[0]
    assert "--ctx" in wording_notes("context", 9)[0]
    assert "repeated" in wording_notes("loop", 9)[0]


@pytest.mark.parametrize("values", [{"max_words": 0}, {"strip": (" ",)}])
def test_rules_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Wording(**values)  # type: ignore[arg-type]
