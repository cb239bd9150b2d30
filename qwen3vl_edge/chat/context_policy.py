"""What becomes of a question that the context has no room for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from qwen3vl_edge.chat.notices import Notice, Policy, dropped, shrunk
from qwen3vl_edge.chat.shrinking import shrink
from qwen3vl_edge.chat.turns import History
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.engine import Cost, EngineInfo

__all__ = ["Fitting", "Prepared", "n_to_drop", "questions"]

_SLACK = 0.875  # after dropping: else the next turn would drop again, and all would be read again


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as it will be asked: what the policy makes of it and of the turns before it.

    ``cost`` is what that takes; with nothing remaining, it does not fit. ``notices`` say what was changed.
    """

    question: Message
    shown: History
    cost: Cost
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Fitting:
    """How questions are made to fit.

    Args:
        info: The engine's.
        policy: What may be done.
        n_answer: Tokens that an answer may take; a quarter of the context is enough.
        cost_of: Tells what asking a question after a history takes.
    """

    info: EngineInfo
    policy: Policy
    n_answer: int
    cost_of: Callable[[History, Message], Cost]

    def prepare(self, history: History, question: Message) -> Prepared:
        """Apply the policy, if need be."""
        cost = self.cost_of(history, question)
        n_answer = min(self.n_answer, cost.context // 4)
        notices: list[Notice] = []
        if cost.remaining < n_answer and self.policy == "drop" and history.shown:
            history = self._drop(history, question, cost.context - n_answer)
            before, cost = cost, self.cost_of(history, question)
            notices = [dropped(history.n_dropped, before, cost)]
        elif cost.remaining < n_answer and self.policy == "shrink" and cost.vision:
            large = questions(history, question)
            history, question = self._shrink(history, question, n_answer - cost.remaining)
            cost = self.cost_of(history, question)
            factor = self.info.image_limits.factor
            notices = list(shrunk(large, questions(history, question), factor))
        return Prepared(question, history, cost, tuple(notices))

    def _drop(self, history: History, question: Message, budget: int) -> History:
        """Leave out as many of the oldest turns as have to be, in whole."""

        def without(n_more: int) -> History:
            return replace(history, n_dropped=history.n_dropped + n_more)

        def n_tokens(n_more: int) -> int:
            return self.cost_of(without(n_more), question).prompt

        return without(n_to_drop(n_tokens, len(history.shown), budget))

    def _shrink(self, history: History, question: Message, n_over: int) -> tuple[History, Message]:
        """Show pictures and clips smaller, as far as that goes."""
        info = self.info
        *before, question = shrink(questions(history, question), n_over, info.image_limits, info.video_limits)
        turns = [replace(turn, question=small) for turn, small in zip(history.shown, before, strict=True)]
        return replace(history, turns=(*history.turns[: history.n_dropped], *turns)), question


def questions(history: History, question: Message) -> list[Message]:
    """Give all questions that the model is shown."""
    return [*(turn.question for turn in history.shown), question]


def n_to_drop(n_tokens: Callable[[int], int], n_turns: int, budget: int) -> int:
    """Give how many of the oldest turns to leave out: all, if even that is too little.

    Args:
        n_tokens: Tokens of the prompt without so many of the oldest turns; falls as they grow.
        n_turns: Turns there are.
        budget: What the prompt may have. A little less is aimed at.
    """
    low, high = 0, n_turns  # high does, as far as anything does
    while low < high:
        middle = (low + high) // 2
        if n_tokens(middle) <= _SLACK * budget:
            high = middle
        else:
            low = middle + 1
    return high
