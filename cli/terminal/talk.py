"""From the first line of a chat to its last."""

import os
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console

from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.cli.interrupt import Interrupted
from qwen3vl_edge.cli.terminal.attachments import media_of
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.keeper import Keeper, last_chat
from qwen3vl_edge.cli.terminal.loop import ChatLoop
from qwen3vl_edge.cli.terminal.media_commands import SAMPLE
from qwen3vl_edge.cli.terminal.messages import attach
from qwen3vl_edge.cli.terminal.rich_screen import RichScreen
from qwen3vl_edge.cli.terminal.screen import PlainScreen, Screen
from qwen3vl_edge.cli.terminal.status import status_line
from qwen3vl_edge.demo import DEMO_NAME
from qwen3vl_edge.paths import user_data_dir
from qwen3vl_edge.progress import SILENT, Progress

__all__ = ["greet", "is_typed", "open_chat", "progress_on", "screen", "talk"]

_NO_DRAWING = ("", "dumb", "unknown")


def is_typed() -> bool:
    """Whether somebody types the lines."""
    return sys.stdin.isatty()


def screen(*, plain: bool) -> Screen:
    """Give what this terminal, pipe or file can show."""
    if plain or not sys.stdout.isatty() or os.environ.get("TERM", "") in _NO_DRAWING:
        return PlainScreen(sys.stdout, sys.stderr)
    return RichScreen(Console(highlight=False))


def progress_on(shown: Screen) -> Progress:
    """Give where long work is told of while `shown` belongs to the chat; plain ones have no place for it."""
    return shown if isinstance(shown, RichScreen) else SILENT


def open_chat(conversation: Conversation, shown: Screen, session: Path | None, *, with_state: bool) -> Chat:
    """Begin a chat that is kept in `session`; else, if somebody types it, among the user's own data."""
    folder = user_data_dir() / "chats" if is_typed() else None
    keeper = Keeper(session, folder, with_state=with_state)
    return Chat(conversation, shown, keeper, user_data_dir() / "media")


def greet(chat: Chat, model: str, images: list[Path], clips: list[Path]) -> None:
    """Say what a new user, and one who comes back, should know; attach what was named.

    Raises:
        MediaError: A picture or clip cannot be read.
    """
    chat.measure()
    if is_typed():
        chat.screen.note(f"{chat.conversation.engine.info.name}: /help explains everything, Ctrl-D leaves")
    for paths, are_clips in ((images, False), (clips, True)):
        chat.attachments += media_of(attach(chat, [*paths], clips=are_clips))
    if is_typed():
        _advise(chat, model)


def _advise(chat: Chat, model: str) -> None:
    note, keeper = chat.screen.note, chat.keeper
    if chat.conversation.turns:
        note(f"{len(chat.conversation.turns)} turns so far")
        return
    if model == DEMO_NAME and not chat.attachments:
        note(f"no picture at hand? /image {SAMPLE} attaches one; then ask: What color is the circle?")
    last = None if keeper.folder is None or keeper.file else last_chat(keeper.folder)
    if last is not None:
        note(f"/load last goes on with the last conversation, as does: chat {model} --session {last}")


def talk(chat: Chat, *, plain: bool) -> None:
    """Take lines until the last one."""
    loop = ChatLoop(chat)
    try:
        for line in _lines(chat, loop, plain=plain):
            loop.handle(line)
            if plain:
                chat.screen.note(status_line(chat))
            if chat.left:
                break
    finally:
        loop.end()
    if is_typed() and chat.keeper.file is not None:
        chat.screen.note(f"kept in {chat.keeper.file}")


def _lines(chat: Chat, loop: ChatLoop, *, plain: bool) -> Iterator[str]:
    if not is_typed() or not sys.stdout.isatty():
        return _piped()
    if plain or isinstance(chat.screen, PlainScreen):
        return _until_the_end(_plainly_typed, chat, loop)
    from qwen3vl_edge.cli.terminal.typing_line import TypingLine

    line = TypingLine(user_data_dir() / "chat_history", lambda: status_line(chat))
    return _until_the_end(lambda: line.read(chat.draft), chat, loop)


def _piped() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in sys.stdin:
        yield line.rstrip("\r\n")


def _until_the_end(read: Callable[[], str], chat: Chat, loop: ChatLoop) -> Iterator[str]:
    while True:
        try:
            line = read()
        except EOFError:
            return
        except (Interrupted, KeyboardInterrupt):  # the latter while the terminal is handed over
            chat.screen.note("the open message is dropped" if loop.give_up() else "Ctrl-D or /exit leaves")
            continue
        yield line


def _plainly_typed() -> str:
    """Read a line without drawing anything: for screen readers and for terminals that cannot."""
    return input("> ")
