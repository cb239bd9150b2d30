"""The line that is typed: editing, history, completion, and the status below it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from qwen3vl_edge.cli.interrupt import signals_kept
from qwen3vl_edge.cli.terminal.completion import candidates
from qwen3vl_edge.cli.terminal.folders import private_file
from qwen3vl_edge.cli.terminal.loop import is_open

__all__ = ["TypingLine"]

_HOW_TO_LEAVE = "Ctrl-D or /exit leaves"
_PRESSES_TO_ASK = 2


class TypingLine:
    """A line at the bottom of the terminal.

    Args:
        history: The file that keeps what was typed, over runs; None or one that cannot be written: this run.
        status: Gives what stands below the line.
    """

    def __init__(self, history: Path | None, status: Callable[[], str]) -> None:
        self._status = status
        self._n_presses = 0
        self._session: PromptSession[str] = PromptSession(
            history=_history(history),
            completer=_Offers(),
            complete_while_typing=False,
            multiline=True,
            key_bindings=self._keys(),
            bottom_toolbar=self._below,
            prompt_continuation="… ",
        )

    def read(self, draft: str = "") -> str:
        """Let a line be typed, which begins as `draft`.

        Raises:
            EOFError: Ctrl-D in an empty line.
        """
        self._n_presses = 0
        with signals_kept():
            return self._session.prompt("> ", default=draft)

    def _below(self) -> str:
        return _HOW_TO_LEAVE if self._n_presses >= _PRESSES_TO_ASK else self._status()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _send(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if buffer.complete_state and buffer.complete_state.current_completion:
                buffer.complete_state = None
            elif is_open(buffer.text):
                buffer.newline(copy_margin=False)
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=False)

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _give_up(event: KeyPressEvent) -> None:
            self._n_presses = 0 if event.current_buffer.text else self._n_presses + 1
            event.current_buffer.reset()

        return keys


class _Offers(Completer):
    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        for found in candidates(document.text_before_cursor):
            yield Completion(found.text, -found.n_replaced, display_meta=found.help)


class _Lines(FileHistory):
    """History in a file; a line that cannot be written there is remembered all the same."""

    def store_string(self, string: str) -> None:
        with suppress(OSError, UnicodeEncodeError):
            super().store_string(string)


def _history(path: Path | None) -> History:
    if path is not None:
        with suppress(OSError):
            return _Lines(private_file(path))
    return InMemoryHistory()
