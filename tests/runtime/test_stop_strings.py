from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.stop_strings import StopStrings

few = st.text("ab\n", max_size=40)
stops = st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=4)


def reference(text: str, strings: list[str]) -> tuple[str, bool]:
    """Read `text` character by character, as slowly as can be."""
    for end in range(1, len(text) + 1):
        whole = [stop for stop in strings if text[:end].endswith(stop)]
        if whole:
            return text[: end - max(map(len, whole))], True
    return text, False


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


@example("ab", ["a", "b"], [])
@example("xaab", ["aab", "b"], [2])
@given(few, stops, st.lists(st.integers(0, 100)))
@settings(max_examples=500)
def test_every_way_to_cut_the_text_gives_what_reading_it_slowly_gives(
    text: str, strings: list[str], cuts: list[int]
) -> None:
    watch = StopStrings(strings)
    shown, found = "", False
    for piece in pieces(text, cuts):
        new, found = watch.push(piece)
        shown += new
        if found:
            break
    assert (shown + watch.flush(), found) == reference(text, strings)


@given(few, stops)
def test_no_more_is_held_back_than_may_begin_a_stop_string(text: str, strings: list[str]) -> None:
    watch = StopStrings(strings)
    shown, found = watch.push(text)
    held = watch.flush()
    if not found:
        assert shown + held == text
        assert held == "" or any(stop.startswith(held) and stop != held for stop in strings)


def test_the_text_streams_until_a_stop_string_may_have_begun() -> None:
    watch = StopStrings(["\nUser:"])
    assert [watch.push(piece) for piece in ("one", " two\n", "Us", "ed", "\nUser", ": x")] == [
        ("one", False),
        (" two", False),
        ("", False),
        ("\nUsed", False),
        ("", False),
        ("", True),
    ]
    assert watch.push("more") == ("", True)
    assert watch.flush() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        StopStrings(["a", ""])
