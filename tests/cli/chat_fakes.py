"""A chat on the scripted engine, and a screen that remembers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.keeper import Keeper
from qwen3vl_edge.cli.terminal.loop import ChatLoop
from qwen3vl_edge.cli.terminal.screen import View
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY


@dataclass
class Remembered:
    """A screen for tests: each thing that was shown, after what it was shown as."""

    shown: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    _answer: str = ""

    def say(self, text: str) -> None:
        self.shown.append(f"say {text}")

    def note(self, text: str) -> None:
        self.shown.append(f"note {text}")

    def fault(self, text: str) -> None:
        self.shown.append(f"fault {text}")

    def picture(self, pixels: Pixels) -> None:
        self.shown.append(f"picture {pixels.shape}")

    def begin(self, view: View, waiting: str) -> None:
        self.views.append(view)
        self._answer = ""

    def reason(self, text: str) -> None:
        self.shown.append(f"reason {text}")

    def answer(self, text: str) -> None:
        self._answer += text

    def finish(self) -> None:
        if self._answer:
            self.shown.append(f"answer {self._answer}")
        self._answer = ""

    def take(self) -> list[str]:
        """Give what was shown since the last time."""
        shown, self.shown = self.shown, []
        return shown


def text_of(parts: Sequence[Part]) -> str:
    """What a scripted engine was asked, pictures as `#`."""
    return "".join(part.text if isinstance(part, TextPart) else "#" for part in parts)


@dataclass
class Talk:
    """A chat to send lines to."""

    loop: ChatLoop
    engine: ScriptedEngine
    screen: Remembered

    def __call__(self, *lines: str) -> list[str]:
        """Send lines; gives what was shown."""
        for line in lines:
            self.loop.handle(line)
        return self.screen.take()

    @property
    def chat(self) -> Chat:
        return self.loop.chat

    def asked(self) -> str:
        return text_of(self.engine.prompts[-1])


def scripted_talk(folder: Path, *, n_ctx: int = 1 << 16, session: Path | None = None) -> Talk:
    """A chat whose answers count: "answer 1", "answer 2" …; kept in `folder`."""
    number = 0

    def answer(_: Sequence[Part]) -> str:
        nonlocal number
        number += 1
        return f"answer {number}"

    engine, screen = ScriptedEngine(answer, n_ctx=n_ctx), Remembered()
    conversation = Conversation(engine, GenerateOptions(GREEDY))
    chat = Chat(conversation, screen, Keeper(session, folder / "chats"), folder / "media")
    chat.measure()
    return Talk(ChatLoop(chat), engine, screen)
