"""The chat on a terminal: dim asides, Markdown, a spinner while the model reads."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.text import Text

from qwen3vl_edge.cli.terminal.drawing import Drawing
from qwen3vl_edge.cli.terminal.markdown_answer import MarkdownAnswer
from qwen3vl_edge.cli.terminal.safe_text import safe
from qwen3vl_edge.cli.terminal.screen import View
from qwen3vl_edge.cli.terminal.waiting import Waiting
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.progress import Task

__all__ = ["RichScreen"]


class RichScreen:
    """A terminal that can draw.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawing = Drawing(console)
        self._view = View()
        self._status: Status | None = None
        self._rendered: MarkdownAnswer | None = None
        self._reasons = self._answers = False

    def say(self, text: str) -> None:
        """Print `text` as it is."""
        self._print(text)

    def note(self, text: str) -> None:
        """Print `text` dim."""
        self._print(text, style="dim")

    def fault(self, text: str) -> None:
        """Print `text` as an error."""
        self._print(f"error: {text}", style="red")

    def picture(self, pixels: Pixels) -> None:
        """Draw a picture as well as the terminal can."""
        self._drawing.draw(pixels)

    def begin(self, view: View, waiting: str) -> None:
        """Begin an answer, with a spinner until its first token comes."""
        self._view = view
        self._reasons = self._answers = False
        self._rendered = MarkdownAnswer(self._console) if view.markdown else None
        self._status = Status(Text(waiting, style="dim"), console=self._console)
        self._status.start()

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        """Say beside the spinner how far long work is; this makes a screen a `Progress`."""
        yield Waiting(self._wait_for, description, total, unit)

    def reason(self, text: str) -> None:
        """Print reasoning apart from the answer, dim or not."""
        if text and self._view.reasoning != "hidden":
            self._stop_waiting()
            self._stream(text, "dim" if self._view.reasoning == "dim" else "")
            self._reasons = True

    def answer(self, text: str) -> None:
        """Print a piece of the answer."""
        if not text:
            return
        self._stop_waiting()
        self._end_reasoning()
        self._answers = True
        if self._rendered is None:
            self._stream(text, "")
        else:
            self._rendered.write(text)

    def finish(self) -> None:
        """End the answer."""
        self._stop_waiting()
        self._end_reasoning()
        if self._answers and self._rendered is not None:
            self._rendered.finish()
        elif self._answers:
            self._console.file.write("\n")
        self._answers = False
        self._console.file.flush()

    def _wait_for(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(text, style="dim"))

    def _stop_waiting(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _end_reasoning(self) -> None:
        if self._reasons:
            self._console.file.write("\n\n")
        self._reasons = False

    def _stream(self, text: str, style: str) -> None:
        self._console.print(Text(safe(text), style), end="", soft_wrap=True)
        self._console.file.flush()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(safe(text), style))
