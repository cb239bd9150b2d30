"""One chat: the conversation, and what lies around it between two lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.cli.terminal.attachments import Media
from qwen3vl_edge.cli.terminal.keeper import Keeper
from qwen3vl_edge.cli.terminal.screen import Screen, View
from qwen3vl_edge.clips import DEFAULT_OPTIONS, ClipOptions
from qwen3vl_edge.constraints import Constraint
from qwen3vl_edge.errors import PromptError, SessionError
from qwen3vl_edge.runtime.engine import Cost, Finished

__all__ = ["Chat"]


@dataclass
class Chat:
    """What commands and messages change.

    Attributes:
        conversation: With its engine, options, system prompt and policy.
        screen: Where to talk to.
        keeper: Where the conversation is kept.
        media_folder: For pictures that come from nowhere a session could find them again.
        view: How things are shown.
        urls: Whether addresses in a message are fetched.
        clip_options: What is shown of clips that are attached from now on.
        attachments: To be sent with the next message.
        last: The end of the last answer.
        used: What the conversation takes of the context.
        editing: The next line is the last question's new text.
        draft: What the next line should begin with.
        left: The chat is over.
        n_faults: Lines that failed.
        exported: Files written in this chat, which may be written again.
    """

    conversation: Conversation
    screen: Screen
    keeper: Keeper
    media_folder: Path
    view: View = field(default_factory=View)
    urls: bool = True
    clip_options: ClipOptions = DEFAULT_OPTIONS
    attachments: list[Media] = field(default_factory=list)
    last: Finished | None = None
    used: Cost | None = None
    editing: bool = False
    draft: str = ""
    left: bool = False
    n_faults: int = 0
    exported: set[Path] = field(default_factory=set)

    @property
    def factor_px(self) -> int:
        """Side of the square of pixels that becomes one token."""
        return self.conversation.engine.info.image_limits.factor

    @property
    def constraint(self) -> Constraint | None:
        """The form that answers must have."""
        return self.conversation.options.constraint

    def fault(self, text: str) -> None:
        """Say what went wrong; the chat goes on."""
        self.n_faults += 1
        self.screen.fault(text)

    def measure(self) -> None:
        """Find out anew what the conversation takes of the context."""
        try:
            self.used = self.conversation.cost("")
        except PromptError:  # a template that refuses an empty question
            self.used = None

    @contextmanager
    def changed(self) -> Iterator[None]:
        """Keep and measure the conversation after a change; one that cannot be kept goes on all the same."""
        yield
        self.measure()
        try:
            self.keeper.keep(self.conversation)
        except SessionError as error:
            self.fault(f"this turn is not kept: {error}")
