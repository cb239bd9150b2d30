"""What was said in a conversation, as values."""

from dataclasses import dataclass

from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.engine import StopReason

__all__ = ["History", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer; the reasoning before it is never shown to the model again."""

    question: Message
    answer: str
    reasoning: str = ""
    stop_reason: StopReason = "stop"


@dataclass(frozen=True, slots=True)
class History:
    """The turns so far, of which the model is no longer shown the first ``n_dropped``.

    ``before`` is what there was before the last turn: what undoing it brings back.
    """

    turns: tuple[Turn, ...] = ()
    n_dropped: int = 0
    before: "History | None" = None

    @property
    def shown(self) -> tuple[Turn, ...]:
        """What the model is shown."""
        return self.turns[self.n_dropped :]

    def and_then(self, turn: Turn, before: "History") -> "History":
        """Give what there is after `turn`; undoing it brings `before` back."""
        return History((*self.turns, turn), self.n_dropped, before)

    def undone(self) -> "History":
        """Give what there was before the last turn."""
        n_left = len(self.turns) - 1
        return self.before or History(self.turns[:n_left], min(self.n_dropped, n_left))
