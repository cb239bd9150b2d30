"""The table of commands; what a line means; help."""

import difflib
import re

from qwen3vl_edge.cli.terminal import (
    file_commands,
    media_commands,
    setting_commands,
    turn_commands,
)
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.command import Command
from qwen3vl_edge.cli.terminal.dropped import split_line
from qwen3vl_edge.errors import UsageError

__all__ = ["COMMANDS", "command", "parse"]


def parse(line: str) -> tuple[Command, str] | None:
    """Give the command that `line` is, and its argument; None for a message.

    A line that begins with a file is a message, though it begins with a slash; so is one that begins
    with a space.

    Raises:
        UsageError: It looks like a command, and there is none of that name.
    """
    split = re.match(r"/(\S*)\s*(.*)", line, re.DOTALL)
    if split is None:
        return None
    name, argument = split.groups()
    found = _BY_NAME.get(name.lower())
    if found is not None:
        return found, argument.strip()
    if not isinstance(split_line(line)[0], str):
        return None
    return command(name), ""


def command(name: str) -> Command:
    """Give the command called `name`, with or without its slash.

    Raises:
        UsageError: There is none.
    """
    bare = name.removeprefix("/").lower()
    if bare in _BY_NAME:
        return _BY_NAME[bare]
    near = difflib.get_close_matches(bare, _BY_NAME, 1)
    hint = f"did you mean /{near[0]}?" if near else "/help lists all"
    raise UsageError(f"no command /{bare:.40}: {hint}; a space before the slash makes it a message")


def _help(chat: Chat, argument: str) -> None:
    chat.screen.say(_help_of(command(argument)) if argument else _overview())


def _help_of(item: Command) -> str:
    return f"/{item.name} {item.arguments}".rstrip() + f"\n  {item.help}\n  example: {item.example}"


def _overview() -> str:
    listed = [item for item in COMMANDS if item.name != "quit"]
    rows = (
        (f"/{item.name} {item.arguments}".rstrip(), item.help.split(";")[0].rstrip(".")) for item in listed
    )
    return f"{_LESSON}\n\n{setting_commands.aligned(rows)}\n\n{_KEYS}"


def _leave(chat: Chat, _argument: str) -> None:
    chat.left = True


_LESSON = """\
Type a question and press Enter. Drop a picture or clip into the line to ask about it:
  ~/Pictures/cat.jpg What is on the table?
  Compare 'left side.png' with 'right side.png'.
Each command tells more with /help COMMAND."""

_KEYS = """\
Enter sends; Alt-Enter, or three quotes (\"\"\") around it, makes a message of several lines. Tab completes.
Ctrl-C stops an answer and keeps what came, or clears the line. Ctrl-D leaves. Up brings back older lines."""

COMMANDS = (
    Command(
        "image",
        "FILE…",
        "Attach pictures to the next message; a web address is fetched, `sample` is a drawing to try.",
        "/image photo.jpg 'with spaces.png'",
        media_commands.image,
        "picture",
    ),
    Command(
        "video", "FILE…", "Attach clips to the next message.", "/video clip.mp4", media_commands.video, "clip"
    ),
    Command("paste", "", "Attach the picture in the clipboard.", "/paste", media_commands.paste),
    Command(
        "media",
        "[drop N|all]",
        "List pictures and clips with their tokens; drop some that were not sent yet.",
        "/media drop 2",
        media_commands.media,
        "media",
    ),
    Command("clear", "", "Begin a new conversation; the old one is kept.", "/clear", turn_commands.clear),
    Command("undo", "", "Take back the last question and its answer.", "/undo", turn_commands.undo),
    Command("regen", "", "Ask the last question again.", "/regen", turn_commands.regenerate),
    Command(
        "edit",
        "[TEXT]",
        "Ask the last question in other words; without TEXT it comes back into the line to be changed.",
        "/edit What color is the left one?",
        turn_commands.edit,
    ),
    Command(
        "system",
        "[TEXT|off]",
        "Show or set the system prompt.",
        "/system Answer in French.",
        turn_commands.system,
        "off",
    ),
    Command(
        "set",
        "[KEY [VALUE]]",
        "Show or change how answers are made and shown; /set alone explains every key.",
        "/set temperature 0",
        setting_commands.set_value,
        "setting",
    ),
    Command("show", "", "Show model, system prompt, settings and files.", "/show", setting_commands.show),
    Command(
        "schema",
        "[FILE|SHORT|off]",
        "Have answers in JSON of a schema, in a file or in short.",
        "/schema 'shape, color red|green|blue'",
        setting_commands.schema,
        "off",
    ),
    Command(
        "save",
        "[FILE]",
        "Keep the conversation in FILE from now on; `chat --session FILE` goes on with it.",
        "/save kitchen.q3vl",
        file_commands.save,
        "session",
    ),
    Command(
        "load",
        "FILE|last",
        "Go on with another conversation; `last` is the one before this.",
        "/load last",
        file_commands.load,
        "session",
    ),
    Command(
        "export",
        "FILE",
        "Write the conversation as Markdown (.md) or JSON (.json).",
        "/export talk.md",
        file_commands.export,
        "export",
    ),
    Command("stats", "", "Show tokens, times and the context.", "/stats", setting_commands.stats),
    Command("help", "[COMMAND]", "Explain everything, or one command.", "/help image", _help, "command"),
    Command("exit", "", "Leave; so does Ctrl-D.", "/exit", _leave),
    Command("quit", "", "Leave.", "/quit", _leave),
)

_BY_NAME = {item.name: item for item in COMMANDS}
