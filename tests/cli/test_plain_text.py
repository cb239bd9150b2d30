from dataclasses import replace
from pathlib import Path

import pytest
from rich.text import Text

from qwen3vl_edge.cli.plain_text import escaped, plain
from qwen3vl_edge.cli.plan_view import show_plan
from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.writing import find_needs
from tests.tiny_checkpoint import write_tiny_checkpoint


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


def test_a_plan_shows_names_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GGUF file to be quantized chooses the names of its tensors."""
    odd, shown = "[red]x :fire:\x1b]0;owned\x07", r"[red]x :fire:\x1b]0;owned\x07"
    monkeypatch.setenv("COLUMNS", "200")
    plan = plan_conversion(write_tiny_checkpoint(tmp_path / "c"), Recipe())
    first, *rest = plan.files
    tensors = (replace(first.tensors[0], name=odd), *first.tensors[1:])
    files = (replace(first, name=odd, tensors=tensors), *rest)
    show_plan(replace(plan, name=odd, files=files), tmp_path / "out", find_needs(plan, tmp_path, 1))
    out = capsys.readouterr().out
    assert out.startswith(f"{shown} → ")
    assert out.count(shown) == 3
    assert all(line.isprintable() for line in out.splitlines())
