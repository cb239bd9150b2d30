"""A command of the chat, as a value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qwen3vl_edge.cli.terminal.chat_state import Chat

__all__ = ["Command", "Completes"]

Completes = Literal["", "picture", "clip", "session", "export", "setting", "command", "media", "off"]
"""What Tab offers after a command."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: from the table of these come dispatch, help and completion.

    ``run`` takes what stands behind the name, stripped. It raises errors of the tree, and has changed
    nothing then.
    """

    name: str
    arguments: str
    help: str
    example: str
    run: Callable[[Chat, str], None]
    completes: Completes = ""
