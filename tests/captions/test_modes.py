import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.captions.modes import MODES, Holding, Mode, joined, wants


@pytest.mark.parametrize(
    ("mode", "taken"),
    [
        ("skip", {"nothing"}),
        ("fill", {"nothing", "empty"}),
        ("overwrite", {"nothing", "empty", "caption"}),
        ("append", {"nothing", "empty", "caption"}),
        ("prepend", {"nothing", "empty", "caption"}),
    ],
)
def test_what_a_mode_takes(mode: Mode, taken: set[Holding]) -> None:
    holdings: list[Holding] = ["nothing", "empty", "caption"]
    assert {holding for holding in holdings if wants(mode, holding)} == taken


def test_every_mode_is_there() -> None:
    assert set(MODES) == {"skip", "overwrite", "append", "prepend", "fill"}


@pytest.mark.parametrize(
    ("mode", "existing", "text", "separator", "expected"),
    [
        ("append", "1girl, solo\n", "red hat", None, "1girl, solo, red hat"),
        ("append", "A cat sleeps.", "It is gray.", None, "A cat sleeps. It is gray."),
        ("append", 'He says "no."', "Then he goes.", None, 'He says "no." Then he goes.'),
        ("append", "猫がいる。", "寝ている。", None, "猫がいる。 寝ている。"),
        ("prepend", "solo", "1girl", None, "1girl, solo"),
        ("prepend", "Tags", "A sentence.", None, "A sentence. Tags"),
        ("append", "a", "b", " | ", "a | b"),
        ("append", " \n", "b", None, "b"),
        ("append", "a", "", None, "a"),
        ("overwrite", "a", "b", None, "b"),
        ("skip", "a", "b", None, "b"),
    ],
)
def test_joining(mode: Mode, existing: str, text: str, separator: str | None, expected: str) -> None:
    assert joined(mode, existing, text, separator) == expected


@given(st.text(), st.text())
def test_joining_loses_nothing_but_blanks(existing: str, text: str) -> None:
    together = joined("append", existing, text, None)
    assert text.strip() in together
    if existing.strip():
        assert existing.rstrip() in together
