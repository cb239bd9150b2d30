"""A conversation: turns that can be undone, edited and generated anew, within what the context holds."""

from collections.abc import Iterator, Sequence

from qwen3vl_edge.chat.context_policy import Fitting, Prepared, questions
from qwen3vl_edge.chat.notices import Notice, Policy, filling, full
from qwen3vl_edge.chat.turns import History, Turn
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

__all__ = ["ChatEvent", "Conversation"]

_WARN_AT = 0.8  # of the context

ChatEvent = Event | Notice


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
        return self._fitting().prepare(self.history, _question(content))

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
        """Ask `question`, after all turns or in place of the last; from here on a `cancel` is for it."""
        self.engine.begin()
        return self._events(question, self.history.undone() if replaces else self.history)

    def _events(self, question: Message, before: History) -> Iterator[ChatEvent]:
        prepared = self._fitting().prepare(before, question)
        shown, question, cost = prepared.shown, prepared.question, prepared.cost
        if cost.remaining < 1:
            raise ContextFullError(
                full(cost, questions(shown, question), self.policy, has_turns=bool(shown.shown))
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

    def _fitting(self) -> Fitting:
        return Fitting(self.engine.info, self.policy, self.options.max_tokens, self._cost)

    def _cost(self, history: History, question: Message) -> Cost:
        return self.session.cost(self._parts(history, question))

    def _parts(self, history: History, question: Message) -> tuple[Part, ...]:
        messages = [] if self.system is None else [Message("system", (self.system,))]
        for turn in history.shown:
            messages += [turn.question, Message("assistant", (turn.answer,))]
        return self.engine.info.template.parts([*messages, question], add_vision_id=self.vision_ids)

    def _require_turn(self, what: str) -> None:
        if not self.turns:
            raise UsageError(f"there is nothing to {what}: nothing was asked yet")


def _question(content: Sequence[Content]) -> Message:
    return Message("user", tuple(content))
