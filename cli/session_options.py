"""Options of conversations: how they begin, what keeps them, what happens when the context is full."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.chat import Conversation
    from qwen3vl_edge.chat.session_place import FileStamp
    from qwen3vl_edge.runtime.engine import Engine, GenerateOptions

__all__ = ["KeptConversation", "SessionOptions"]


@dataclass(frozen=True, eq=False)
class KeptConversation:
    """A conversation and where it is kept: ``stamp`` tells the file from what others make of it."""

    conversation: "Conversation"
    file: Path | None
    stamp: "FileStamp"
    with_state: bool

    def save(self) -> None:
        """Keep it if that is wanted.

        Raises:
            SessionError: It cannot be written, or another program has changed the file since.
        """
        from qwen3vl_edge.chat import save_session

        if self.file is not None:
            save_session(self.conversation, self.file, with_state=self.with_state, replaces=self.stamp)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a conversation begins, and where it is kept."""

    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None
    vision_ids: Annotated[
        bool | None,
        typer.Option(
            "--vision-ids/--no-vision-ids",
            help="Number pictures and clips in the prompt, as 'Picture 1:', so that they can be named.  "
            "[default: no]",
            show_default=False,
        ),
    ] = None
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
            help="With a full context: stop, drop the oldest turns, or shrink pictures and clips.  "
            "[default: stop]",
            show_default=False,
        ),
    ] = None

    def check(self) -> None:
        """Make sure that the conversation can be kept, before a model is opened for nothing.

        Raises:
            SessionError: It cannot.
        """
        if self.session is not None:
            from qwen3vl_edge.chat.session_place import check_place

            check_place(self.session)

    def open(
        self, engine: "Engine", answer: "Callable[[GenerateOptions], GenerateOptions]"
    ) -> KeptConversation:
        """Give the conversation that is kept, or a new one; says what the user should know of it.

        Args:
            engine: Who goes on.
            answer: Lays what is wanted over how answers were made before, or over the model's defaults.

        Raises:
            UsageError: Another system prompt is wanted than the session's.
            SessionError: The file is damaged, or its pictures have changed.
        """
        from qwen3vl_edge.chat import Conversation
        from qwen3vl_edge.chat.session_file import open_session
        from qwen3vl_edge.chat.session_place import NO_FILE
        from qwen3vl_edge.cli import view
        from qwen3vl_edge.runtime.engine import GenerateOptions

        if self.session is None or not self.session.exists():
            wanted = answer(GenerateOptions(engine.info.sampling))
            new = Conversation(
                engine,
                wanted,
                system=self.system,
                policy=self.when_full or "stop",
                vision_ids=bool(self.vision_ids),
            )
            return KeptConversation(new, self.session, NO_FILE, self.session_state)
        opened = open_session(self.session, engine, policy=self.when_full)
        conversation = opened.conversation
        if self.system not in {None, conversation.system}:
            raise UsageError(f"{self.session}: has another system prompt; --system is for new sessions")
        conversation.options = answer(conversation.options)
        if self.vision_ids is not None:
            conversation.vision_ids = self.vision_ids
        for text in opened.notes:
            view.note(text)
        return KeptConversation(conversation, self.session, opened.stamp, self.session_state)
