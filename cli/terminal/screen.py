"""Where the chat talks to: the seam between what is said and how it is drawn; and the plain one."""

from dataclasses import dataclass
from typing import Literal, Protocol, TextIO

from qwen3vl_edge.cli.terminal.safe_text import safe
from qwen3vl_edge.images import Pixels

__all__ = ["PlainScreen", "Screen", "View"]

ReasoningView = Literal["hidden", "dim", "shown"]


@dataclass(frozen=True, slots=True)
class View:
    """How answers, reasoning and pictures are shown."""

    reasoning: ReasoningView = "dim"
    markdown: bool = True
    preview: bool = True


class Screen(Protocol):
    """Something that a chat can be read from."""

    def say(self, text: str) -> None:
        """Show what a command was asked for."""

    def note(self, text: str) -> None:
        """Show something beside: one line."""

    def fault(self, text: str) -> None:
        """Show what went wrong: one line."""

    def picture(self, pixels: Pixels) -> None:
        """Show a picture, if that is possible."""

    def begin(self, view: View, waiting: str) -> None:
        """Begin an answer; `waiting` says what is done until its first token comes."""

    def reason(self, text: str) -> None:
        """Show the next piece of the reasoning."""

    def answer(self, text: str) -> None:
        """Show the next piece of the answer."""

    def finish(self) -> None:
        """End the answer, whole or not; does nothing the second time."""


class PlainScreen:
    """Text as it comes: no colours, no control codes, nothing drawn twice.

    Args:
        out: For answers and what commands were asked for.
        aside: For everything else.
    """

    def __init__(self, out: TextIO, aside: TextIO) -> None:
        self._out, self._aside = out, aside
        self._view = View()
        self._reasons = self._answers = False

    def say(self, text: str) -> None:
        """Print `text` as it is."""
        self._write(self._out, f"{safe(text)}\n")

    def note(self, text: str) -> None:
        """Print `text` beside."""
        self._write(self._aside, f"{safe(text)}\n")

    def fault(self, text: str) -> None:
        """Print `text` beside, as an error."""
        self._write(self._aside, f"error: {safe(text)}\n")

    def picture(self, pixels: Pixels) -> None:
        """Show nothing: there is no way to draw in plain text."""

    def begin(self, view: View, waiting: str) -> None:
        """Begin an answer."""
        self._view = view
        self._reasons = self._answers = False

    def reason(self, text: str) -> None:
        """Print reasoning beside, if it is wanted."""
        if text and self._view.reasoning != "hidden":
            self._write(self._aside, safe(text) if self._reasons else f"reasoning: {safe(text)}")
            self._reasons = True

    def answer(self, text: str) -> None:
        """Print a piece of the answer."""
        self._end_reasoning()
        self._write(self._out, safe(text))
        self._answers = self._answers or bool(text)

    def finish(self) -> None:
        """End the line."""
        self._end_reasoning()
        if self._answers:
            self._write(self._out, "\n")
        self._answers = False

    def _end_reasoning(self) -> None:
        if self._reasons:
            self._write(self._aside, "\n\n")
        self._reasons = False

    @staticmethod
    def _write(file: TextIO, text: str) -> None:
        file.write(text)
        file.flush()
