import pytest
from rich.text import Text

from qwen3vl_edge.cli.plain_text import escaped, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Qwen3-VL été 日本 🔥", "Qwen3-VL été 日本 🔥"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x00\x1b[2J\x7f\x85\x9b", r"\x00\x1b[2J\x7f\x85\x9b"),
        ("\u2028\u202e\u2067", r"\u2028\u202e\u2067"),
        ("caf\udce9.png", "caf\udce9.png"),  # a file name that is no valid text goes out as its bytes
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_markup_is_text() -> None:
    assert plain("[red]x[/red] :fire:") == Text("[red]x[/red] :fire:")
