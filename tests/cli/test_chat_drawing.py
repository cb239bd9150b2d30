"""What the chat writes to a terminal, and to what is none."""

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from qwen3vl_edge.cli.terminal import markdown_answer
from qwen3vl_edge.cli.terminal.live_region import LiveRegion
from qwen3vl_edge.cli.terminal.markdown_answer import MarkdownAnswer
from qwen3vl_edge.cli.terminal.rich_screen import RichScreen
from qwen3vl_edge.cli.terminal.screen import PlainScreen, View
from qwen3vl_edge.cli.terminal.waiting import Waiting

ANSWER = """\
# Heading

A paragraph with **bold** and <b>tags</b>.

- one
- two

```python
def f() -> int:
    return 1
```

| shape | color |
|---|---|
| circle | red |
| square | blue |

The end.
"""


class Terminal:
    """As much of one as the live region uses: lines, cursor up, erasing, wrapping at its width."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        plain = re.sub(r"\x1b\[(?:\?\d+[hl]|[\d;]*m)", "", text)
        for item in re.findall(r"\x1b\[\d*[A-Z]|.|\n", plain):
            self._take(item)

    def _take(self, item: str) -> None:
        if item == "\n":
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row + 1 - len(self.rows))
        elif item == "\r":
            self.column = 0
        elif item == "\x1b[K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif item == "\x1b[J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif item.startswith("\x1b"):
            self.row = max(0, self.row - int(item[2:-1] or 1))
        else:
            self._print(item)

    def _print(self, character: str) -> None:
        if self.column == self.columns:
            self._take("\n")
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
        self.column += 1


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every piece be drawn."""
    monkeypatch.setattr(markdown_answer, "_BETWEEN_DRAWINGS_S", 0.0)
    monkeypatch.setattr(markdown_answer, "_REST", 0)
    yield


def stream(text: str, width: int, height: int, step: int) -> Terminal:
    file, terminal = io.StringIO(), Terminal(width)
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system="truecolor")
    answer = MarkdownAnswer(console)
    for start in range(0, len(text), step):
        answer.write(text[start : start + step])
    answer.finish()
    terminal.feed(file.getvalue())
    return terminal


@pytest.mark.parametrize("step", [1, 3, 17, 1000])
@pytest.mark.parametrize("size", [(60, 40), (18, 5), (7, 3)])
def test_streaming_ends_in_what_printing_at_once_gives(ticks: None, step: int, size: tuple[int, int]) -> None:
    at_once = stream(ANSWER, *size, step=len(ANSWER))
    assert stream(ANSWER, *size, step=step).rows == at_once.rows


def test_the_whole_answer_stands_there(ticks: None) -> None:
    rows = [row.strip() for row in stream(ANSWER, 60, 40, 5).rows]
    for line in (
        "Heading",
        "A paragraph with bold and <b>tags</b>.",
        "• two",
        "return 1",
        "square  blue",
        "The end.",
    ):
        assert rows.count(line) == 1, rows
    assert "\n\n\n" not in "\n".join(rows)


def test_an_answer_longer_than_the_screen_is_not_lost(ticks: None) -> None:
    text = "\n".join(f"- item {number}" for number in range(100))
    rows = stream(text, 40, 10, 4).rows
    assert [row.strip(" •") for row in rows if row.strip()] == [f"item {number}" for number in range(100)]


def test_lines_that_a_narrower_terminal_has_wrapped_are_drawn_over() -> None:
    file, terminal = io.StringIO(), Terminal(10)
    region = LiveRegion(file)
    region.draw(["0123456789" * 2, "abc"], 20, 10)
    terminal.rows, terminal.row = ["0123456789", "0123456789", "abc", ""], 3  # as it stands after the resize
    file.truncate(0)
    file.seek(0)
    region.draw(["new"], 10, 10)
    terminal.feed(file.getvalue())
    assert terminal.rows == ["new", ""]


def test_the_answers_own_escapes_are_shown_not_obeyed(ticks: None) -> None:
    assert stream("a\x1b[2Jb", 40, 10, 1).rows[0] == "a\\x1b[2Jb"


def rich(**settings: object) -> tuple[RichScreen, io.StringIO]:
    file = io.StringIO()
    return RichScreen(Console(file=file, force_terminal=True, width=60, **settings)), file  # type: ignore[arg-type]


def test_reasoning_is_dim_shown_or_hidden() -> None:
    written = {}
    for reasoning in ("dim", "shown", "hidden"):
        screen, file = rich(color_system="truecolor")
        screen.begin(View(reasoning, markdown=False), "reading …")  # type: ignore[arg-type]
        for piece in ("why", " not"):
            screen.reason(piece)
        screen.answer("so")
        screen.finish()
        written[reasoning] = file.getvalue()
    assert "\x1b[2mwhy\x1b[0m\x1b[2m not\x1b[0m\n\nso\n" in written["dim"]
    assert "why not\n\nso\n" in written["shown"]
    assert "why" not in written["hidden"]


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen, file = rich()
    screen.fault("wrong")
    screen.begin(View(), "reading …")
    screen.answer(ANSWER)
    screen.finish()
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", file.getvalue()) for code in found.split(";")}
    assert not {
        code for code in codes if code.startswith(("3", "4", "9", "10")) and code not in {"3", "4", "9"}
    }


def test_plain_text_has_no_control_codes() -> None:
    out, aside = io.StringIO(), io.StringIO()
    screen = PlainScreen(out, aside)
    screen.note("[1] cat.png")
    screen.begin(View("shown"), "reading …")
    for piece in ("why", " so"):
        screen.reason(piece)
    for piece in ("**bo", "ld** \x1b[31m"):
        screen.answer(piece)
    screen.finish()
    screen.finish()
    screen.fault("wrong")
    assert out.getvalue() == "**bold** \\x1b[31m\n"
    assert aside.getvalue() == "[1] cat.png\nreasoning: why so\n\nerror: wrong\n"


def test_long_work_says_how_far_it_is_and_how_long_it_takes() -> None:
    said: list[str] = []
    times = iter([100.0, 110.0, 190.0])
    work = Waiting(said.append, "encoding", 12, "moments", lambda: next(times))
    work.advance()
    work.advance(8)
    Waiting(said.append, "fetching", None, "files").advance(3)
    assert said == [
        "encoding 1/12 moments, 1:50 left",
        "encoding 9/12 moments, 0:30 left",
        "fetching 3 files",
    ]


def test_work_that_ends_after_the_spinner_changes_nothing() -> None:
    file = io.StringIO()
    screen = RichScreen(Console(file=file, force_terminal=True, width=80))
    screen.begin(View(), "reading …")
    with screen.task("encoding", 4, "moments") as work:
        screen.finish()
        before = file.getvalue()
        work.advance()
    assert file.getvalue() == before
