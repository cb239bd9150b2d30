"""Options of conversations: how they begin, what keeps them, what happens when the context is full."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.chat import Conversation
    from qwen3vl_edge.runtime.engine import Engine, GenerateOptions

__all__ = ["SessionOptions"]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a conversation begins, and where it is kept."""

    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None
    session: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on with the conversation in this file, if it is there, and keep it there.",
            show_default=False,
        ),
    ] = None
    session_state: Annotated[
        bool,
        typer.Option(
            "--session-state/--no-session-state",
            help="Keep there what the model has read, too: the next question then starts at once, but the "
            "file is as large as the used context.",
        ),
    ] = True
    when_full: Annotated[
        Literal["stop", "drop", "shrink"] | None,
        typer.Option(
            help="With a full context: stop, drop the oldest turns, or shrink pictures.  [default: stop]",
            show_default=False,
        ),
    ] = None

    def conversation(self, engine: "Engine", answer: "GenerateOptions") -> "Conversation":
        """Give the conversation that is kept, or a new one; says what the user should know of it.

        Raises:
            UsageError: Another system prompt is wanted than the session's.
            SessionError: The file is damaged, or its pictures have changed.
        """
        from qwen3vl_edge.chat import Conversation, load_session
        from qwen3vl_edge.cli import view

        if self.session is None or not self.session.exists():
            return Conversation(engine, answer, system=self.system, policy=self.when_full or "stop")
        conversation, notes = load_session(self.session, engine, answer, policy=self.when_full)
        if self.system not in {None, conversation.system}:
            raise UsageError(f"{self.session}: has another system prompt; --system is for new sessions")
        for text in notes:
            view.note(text)
        return conversation

    def save(self, conversation: "Conversation") -> None:
        """Keep `conversation` if that is wanted."""
        from qwen3vl_edge.chat import save_session

        if self.session is not None:
            save_session(conversation, self.session, with_state=self.session_state)
