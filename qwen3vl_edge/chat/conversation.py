"""A conversation: turns that can be undone, edited and generated anew, within what the context holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.chat.context_policy import n_to_drop
from qwen3vl_edge.chat.notices import Notice, Policy, dropped, filling, full, shrunk
from qwen3vl_edge.chat.shrinking import shrink
from qwen3vl_edge.chat.turns import Turn
from qwen3vl_edge.errors import ContextFullError, UsageError
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.engine import (
    Cost,
    Engine,
    Event,
    Finished,
    Generated,
    GenerateOptions,
    Reasoned,
    Session,
)

__all__ = ["ChatEvent", "Conversation", "History", "Notice", "Policy", "Prepared"]

_WARN_AT = 0.8  # of the context

ChatEvent = Event | Notice


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as it will be asked: what the policy makes of it and of the turns before it.

    ``cost`` is what that takes; with nothing remaining, it does not fit. ``notices`` say what was changed.
    """

    question: Message
    shown: History
    cost: Cost
    notices: tuple[Notice, ...]


class Conversation:
    """One conversation with an engine.

    A turn that has finished is in ``history``; nothing else changes that, so that a turn that fails or is
    abandoned leaves no trace, and undoing one brings back all that it changed.

    Args:
        engine: Who answers.
        options: How; may be changed between turns.
        system: System prompt.
        policy: What to do when the context is full.
        history: What was said before.
        session: Where the engine keeps what it has read; None opens one.
        vision_ids: Number pictures and clips in the prompt, so that they can be named.
    """

    def __init__(  # noqa: PLR0913 -- all but the first two have defaults
        self,
        engine: Engine,
        options: GenerateOptions,
        *,
        system: str | None = None,
        policy: Policy = "stop",
        history: History | None = None,
        session: Session | None = None,
        vision_ids: bool = False,
    ) -> None:
        self.engine, self.options, self.system, self.policy = engine, options, system, policy
        self.history = history or History()
        self.session: Session = session or engine.open_session()
        self.vision_ids = vision_ids

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All that was said."""
        return self.history.turns

    @property
    def n_dropped(self) -> int:
        """How many of the oldest turns the model is no longer shown."""
        return self.history.n_dropped

    def close(self) -> None:
        """Give back what the engine keeps of the conversation."""
        self.session.close()

    def cost(self, *content: Content) -> Cost:
        """Tell what asking `content` would take, as the conversation stands, before any policy."""
        return self._cost(self.history, _question(content))

    def prepare(self, *content: Content) -> Prepared:
        """Tell how `content` would be asked, after the policy, and what that takes; nothing is changed."""
        return self._prepare(self.history, _question(content))

    def ask(self, *content: Content) -> Iterator[ChatEvent]:
        """Ask `content`, texts, pictures and clips in this order; the turn stays when it has finished.

        One that is cancelled has finished with what there is. One that is not read to its end, or fails,
        leaves no trace.

        Raises:
            ContextFullError: It does not fit, and the policy does not help.
            PromptError: The chat template refuses the messages.
            EngineError: The native library failed.
        """
        return self._ask(_question(content), replaces=False)

    def undo(self) -> Turn:
        """Take the last turn back, and what it changed, and give it.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("undo")
        undone = self.turns[-1]
        self.history = self.history.undone()
        return undone

    def regenerate(self) -> Iterator[ChatEvent]:
        """Ask the last question again; its old answer stays until the new one has finished.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("regenerate")
        return self._ask(self.turns[-1].question, replaces=True)

    def edit(self, text: str) -> Iterator[ChatEvent]:
        """Ask the last question with another text, its pictures and clips kept.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("edit")
        media = [item for item in self.turns[-1].question.content if not isinstance(item, str)]
        return self._ask(_question((*media, text)), replaces=True)

    def fork(self) -> "Conversation":
        """Give another conversation that has come as far as this one."""
        return Conversation(
            self.engine,
            self.options,
            system=self.system,
            policy=self.policy,
            history=self.history,
            session=self.session.fork(),
            vision_ids=self.vision_ids,
        )

    def clear(self) -> None:
        """Forget every turn; the system prompt stays."""
        self.history = History()

    def _ask(self, question: Message, *, replaces: bool) -> Iterator[ChatEvent]:
        """Ask `question`, after all turns or in place of the last."""
        self.engine.begin()
        before = self.history.undone() if replaces else self.history
        prepared = self._prepare(before, question)
        shown, question, cost = prepared.shown, prepared.question, prepared.cost
        if cost.remaining < 1:
            raise ContextFullError(
                full(cost, _messages(shown, question), self.policy, has_turns=bool(shown.shown))
            )
        yield from prepared.notices
        if not prepared.notices and cost.prompt > _WARN_AT * cost.context:
            yield filling(cost)
        answer, reasoning = "", ""
        for event in self.session.generate(self._parts(shown, question), self.options):
            match event:
                case Generated(text=text):
                    answer += text
                case Reasoned(text=text):
                    reasoning += text
                case Finished(stop_reason=reason):
                    self.history = shown.and_then(Turn(question, answer, reasoning, reason), before)
            yield event

    def _cost(self, history: History, question: Message) -> Cost:
        return self.session.cost(self._parts(history, question))

    def _parts(self, history: History, question: Message) -> tuple[Part, ...]:
        messages = [] if self.system is None else [Message("system", (self.system,))]
        for turn in history.shown:
            messages += [turn.question, Message("assistant", (turn.answer,))]
        return self.engine.info.template.parts([*messages, question], add_vision_id=self.vision_ids)

    def _prepare(self, history: History, question: Message) -> Prepared:
        """Apply the policy, if need be."""
        cost = self._cost(history, question)
        n_answer = min(self.options.max_tokens, cost.context // 4)
        notices: list[Notice] = []
        if cost.remaining < n_answer and self.policy == "drop" and history.shown:
            history = self._drop(history, question, cost.context - n_answer)
            before, cost = cost, self._cost(history, question)
            notices = [dropped(history.n_dropped, before, cost)]
        elif cost.remaining < n_answer and self.policy == "shrink" and cost.vision:
            large = _messages(history, question)
            history, question = self._shrink(history, question, n_answer - cost.remaining)
            cost = self._cost(history, question)
            factor = self.engine.info.image_limits.factor
            notices = list(shrunk(large, _messages(history, question), factor))
        return Prepared(question, history, cost, tuple(notices))

    def _drop(self, history: History, question: Message, budget: int) -> History:
        """Leave out as many of the oldest turns as have to be, in whole."""

        def without(n_more: int) -> History:
            return replace(history, n_dropped=history.n_dropped + n_more)

        def n_tokens(n_more: int) -> int:
            return self._cost(without(n_more), question).prompt

        return without(n_to_drop(n_tokens, len(history.shown), budget))

    def _shrink(self, history: History, question: Message, n_over: int) -> tuple[History, Message]:
        """Show pictures and clips smaller, as far as that goes."""
        info = self.engine.info
        *before, question = shrink(_messages(history, question), n_over, info.image_limits, info.video_limits)
        turns = [replace(turn, question=small) for turn, small in zip(history.shown, before, strict=True)]
        return replace(history, turns=(*history.turns[: history.n_dropped], *turns)), question

    def _require_turn(self, what: str) -> None:
        if not self.turns:
            raise UsageError(f"there is nothing to {what}: nothing was asked yet")


def _question(content: Sequence[Content]) -> Message:
    return Message("user", tuple(content))


def _messages(history: History, question: Message) -> list[Message]:
    """Give all questions that the model is shown."""
    return [*(turn.question for turn in history.shown), question]
