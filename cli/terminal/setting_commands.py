"""Commands about how answers are made and shown: /set, /show, /stats, /schema."""

from collections.abc import Iterable
from dataclasses import replace

from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.settings import SETTINGS, setting
from qwen3vl_edge.cli.terminal.status import statistics

__all__ = ["aligned", "schema", "set_value", "show", "stats"]


def set_value(chat: Chat, argument: str) -> None:
    """Show the settings, or one, or change one."""
    name, *rest = argument.split(None, 1) or [""]
    if not name:
        chat.screen.say(aligned((item.name, item.read(chat), item.help) for item in SETTINGS))
        return
    found = setting(name)
    if rest:
        found.write(chat, rest[0].strip())
    chat.screen.say(f"{found.name} is {found.read(chat)}")


def show(chat: Chat, _argument: str) -> None:
    """Show how the chat stands."""
    conversation, info = chat.conversation, chat.conversation.engine.info
    limits = info.image_limits
    rows = [
        ("model", info.name),
        (
            "a picture",
            f"{limits.min_pixels} to {limits.max_pixels} px; a token is {limits.factor}×{limits.factor} px",
        ),
        ("system prompt", conversation.system or "none"),
        ("form", chat.constraint.kind if chat.constraint else "free; /schema asks for one"),
        ("turns", str(len(conversation.turns))),
        ("attached", str(len(chat.attachments))),
        ("kept in", str(chat.keeper.file or "nothing said yet")),
        *((item.name, item.read(chat)) for item in SETTINGS),
    ]
    chat.screen.say(aligned(rows))


def stats(chat: Chat, _argument: str) -> None:
    """Show counts and times."""
    chat.measure()
    chat.screen.say(aligned(statistics(chat)))


def schema(chat: Chat, argument: str) -> None:
    """Show, set or lift the form that answers must have."""
    if not argument:
        chat.screen.say(
            f"answers follow a {chat.constraint.kind}; /schema off lifts it"
            if chat.constraint
            else "answers are free; /schema 'name, count int' asks for JSON"
        )
        return
    from qwen3vl_edge.constraints import from_file_or_short

    constraint = None if argument == "off" else from_file_or_short(_unquoted(argument))
    chat.conversation.options = replace(chat.conversation.options, constraint=constraint)
    chat.screen.say("answers are JSON of this schema from now on" if constraint else "answers are free again")


def aligned(rows: Iterable[tuple[str, ...]]) -> str:
    """Lay out `rows` in columns, two spaces apart; every row has as many cells as the first."""
    cells = [tuple(" ".join(cell.split()) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text
