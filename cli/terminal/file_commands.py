"""Commands about files: /save, /load, /export."""

from pathlib import Path

from qwen3vl_edge.chat import load_session
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.dropped import named_file, named_files
from qwen3vl_edge.cli.terminal.export import as_json, as_markdown
from qwen3vl_edge.cli.terminal.keeper import SUFFIX, last_chat
from qwen3vl_edge.cli.terminal.turn_commands import question_text
from qwen3vl_edge.errors import SessionError, UsageError

__all__ = ["LAST", "export", "load", "save"]

LAST = "last"
"""What /load takes in place of a file: the conversation before this one."""


def save(chat: Chat, argument: str) -> None:
    """Write the conversation to a file, and keep it there from now on."""
    keeper = chat.keeper
    if not argument:
        keeper.keep(chat.conversation)
        chat.screen.say(
            f"kept in {keeper.file}" if keeper.file else "nothing to keep yet; /save FILE names a file"
        )
        return
    path = _one_file(argument, "save")
    if path != keeper.file and path.exists():
        raise UsageError(f"{path} is there already; take another name, or delete it first")
    keeper.save_as(path, chat.conversation)
    chat.screen.say(f"kept in {path}, from now on after each answer")


def load(chat: Chat, argument: str) -> None:
    """Go on with another conversation; this one stays where it is kept."""
    path = _named_session(chat, argument)
    before = chat.conversation
    chat.conversation, notes = load_session(path, before.engine, before.options)
    before.close()
    chat.keeper.go_on_in(path)
    chat.attachments.clear()
    chat.last, chat.editing = None, False
    chat.measure()
    for text in notes:
        chat.screen.note(text)
    chat.screen.note(f"{len(chat.conversation.turns)} turns of {path}; the last one:")
    if chat.conversation.turns:
        last = chat.conversation.turns[-1]
        chat.screen.say(f"> {question_text(last)}\n{last.answer}")


def export(chat: Chat, argument: str) -> None:
    """Write the conversation as Markdown or JSON."""
    path = _one_file(argument, "export")
    writers = {".md": as_markdown, ".json": as_json}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path.name:.100}: end the name in .md for Markdown or .json for JSON")
    _check_free(path, chat)
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_text(writers[path.suffix.lower()](chat.conversation), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    chat.exported.add(path)
    chat.screen.say(f"{len(chat.conversation.turns)} turns written to {path}")


def _named_session(chat: Chat, argument: str) -> Path:
    keeper = chat.keeper
    if argument != LAST or Path(LAST).exists():
        return _one_file(argument, "load")
    found = None if keeper.folder is None else last_chat(keeper.folder, other_than=keeper.file)
    if found is None:
        raise SessionError("no earlier conversation is kept; /load FILE takes one from a file")
    return found


def _one_file(argument: str, command: str) -> Path:
    names = named_files(argument)
    if len(names) != 1:
        raise UsageError(f"/{command} takes one file; put quotes around a name with spaces")
    path = named_file(names[0])
    if names[0][0] in "'\"" and not path.exists():
        raise UsageError(
            f"{argument:.60}: the quotes do not match; write e.g. /{command} 'two words{SUFFIX}'"
        )
    return path.absolute()


def _check_free(path: Path, chat: Chat) -> None:
    if path == chat.keeper.file or (path.exists() and path not in chat.exported):
        raise UsageError(f"{path} is there already; take another name, or delete it first")
