"""What was said in a conversation, as values."""

from dataclasses import dataclass

from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.engine import StopReason

__all__ = ["Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer; the reasoning before it is never shown to the model again."""

    question: Message
    answer: str
    reasoning: str = ""
    stop_reason: StopReason = "stop"
