"""The chat line by line, without a terminal."""

from qwen3vl_edge.cli.interrupt import Interrupted
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.commands import parse
from qwen3vl_edge.cli.terminal.messages import send
from qwen3vl_edge.cli.terminal.turn_commands import edited
from qwen3vl_edge.errors import EdgeError

__all__ = ["ChatLoop", "is_open"]

_QUOTES = '"""'


class ChatLoop:
    """Takes lines, does what they say. What goes wrong is said in one line, and the chat goes on.

    Args:
        chat: What the lines change.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self._lines: list[str] = []

    def handle(self, line: str) -> None:
        '''Take a line; those from one that begins with """ to one that ends so make one message.'''
        ends = line.rstrip().endswith(_QUOTES) if self._lines else not is_open(line)
        self._lines.append(line)
        if not ends:
            return
        text, self._lines = "\n".join(self._lines), []
        self._try(_without_quotes(text), literal=text.lstrip().startswith(_QUOTES))

    def give_up(self) -> bool:
        """Forget the lines of a message that is not closed; returns whether there were any."""
        had_lines, self._lines = bool(self._lines), []
        return had_lines

    def end(self) -> None:
        """Take what an unclosed message holds, and keep the conversation for the last time."""
        if self._lines:
            text, self._lines = "\n".join(self._lines), []
            self._try(_without_quotes(text), literal=True)
        try:
            self.chat.keeper.finish(self.chat.conversation)
        except EdgeError as error:
            self.chat.fault(str(error))

    def _try(self, text: str, *, literal: bool) -> None:
        try:
            self._act(text, literal=literal)
        except Interrupted:
            self.chat.screen.note("interrupted")
            self.chat.draft = self.chat.draft or text
        except EdgeError as error:
            self.chat.fault(str(error))
        except BrokenPipeError:  # nobody reads any more
            raise
        except OSError as error:
            self.chat.fault(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        except MemoryError:
            self.chat.fault("out of memory; drop attachments, /clear, or close other programs")

    def _act(self, text: str, *, literal: bool) -> None:
        chat = self.chat
        editing, chat.editing, chat.draft = chat.editing, False, ""
        found = None if literal else parse(text)
        if found is not None:
            item, argument = found
            item.run(chat, argument)
        elif editing and text.strip():
            edited(chat, text)
        elif text.strip():
            send(chat, text)


def is_open(text: str) -> bool:
    '''Whether `text` begins with """ and lacks those at its end.'''
    stripped = text.strip()
    return stripped.startswith(_QUOTES) and not (
        stripped.endswith(_QUOTES) and len(stripped) >= 2 * len(_QUOTES)
    )


def _without_quotes(text: str) -> str:
    if not text.lstrip().startswith(_QUOTES):
        return text
    return text.strip().removeprefix(_QUOTES).removesuffix(_QUOTES).strip("\n")
