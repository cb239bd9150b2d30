"""A conversation: turns that can be undone, edited and generated anew, within what the context holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qwen3vl_edge.chat.context_policy import drop_oldest, shrink_pictures
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

__all__ = ["ChatEvent", "Conversation", "Notice", "Policy"]

Policy = Literal["stop", "drop", "shrink"]
"""What to do when the context is full: refuse, leave out the oldest turns, or show smaller pictures."""

_WARN_AT = 0.8  # of the context


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know of the context, in one line."""

    text: str


ChatEvent = Event | Notice


class Conversation:
    """One conversation with an engine.

    ``turns`` are all that were finished; those before ``n_dropped`` are no longer shown to the model.

    Args:
        engine: Who answers.
        options: How; may be changed between turns.
        system: System prompt.
        policy: What to do when the context is full.
        turns: What was said before.
    """

    def __init__(
        self,
        engine: Engine,
        options: GenerateOptions,
        *,
        system: str | None = None,
        policy: Policy = "stop",
        turns: Sequence[Turn] = (),
    ) -> None:
        self.engine, self.options, self.system, self.policy = engine, options, system, policy
        self.turns = list(turns)
        self.n_dropped = 0
        self.session: Session = engine.open_session()

    def close(self) -> None:
        """Give back what the engine keeps of the conversation."""
        self.session.close()

    def cost(self, *content: Content) -> Cost:
        """Tell what asking `content` would take, as the conversation stands, before any policy."""
        return self.session.cost(self._parts(self._shown, _question(content)))

    def ask(self, *content: Content) -> Iterator[ChatEvent]:
        """Ask `content`, texts, pictures and clips in this order; the turn stays when it has finished.

        One that is cancelled has finished with what there is. One that is not read to its end, or fails,
        leaves no trace.

        Raises:
            ContextFullError: It does not fit, and the policy does not help.
            PromptError: The chat template refuses the messages.
            EngineError: The native library failed.
        """
        question = _question(content)
        for change in self._make_room(question):
            if isinstance(change, Notice):
                yield change
            else:
                question = change
        answer, reasoning = "", ""
        for event in self.session.generate(self._parts(self._shown, question), self.options):
            match event:
                case Generated(text=text):
                    answer += text
                case Reasoned(text=text):
                    reasoning += text
                case Finished(stop_reason=reason):
                    self.turns.append(Turn(question, answer, reasoning, reason))
            yield event

    def undo(self) -> Turn:
        """Take the last turn back and give it.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("undo")
        turn = self.turns.pop()
        self.n_dropped = min(self.n_dropped, len(self.turns))
        return turn

    def regenerate(self) -> Iterator[ChatEvent]:
        """Ask the last question again; its old answer stays until the new one has finished.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("regenerate")
        return self._replace_last(self.turns[-1].question.content)

    def edit(self, text: str) -> Iterator[ChatEvent]:
        """Ask the last question with another text, its pictures and clips kept.

        Raises:
            UsageError: There is none.
        """
        self._require_turn("edit")
        media = [item for item in self.turns[-1].question.content if not isinstance(item, str)]
        return self._replace_last((*media, text))

    def fork(self) -> "Conversation":
        """Give another conversation that has come as far as this one."""
        twin = Conversation(
            self.engine, self.options, system=self.system, policy=self.policy, turns=self.turns
        )
        twin.session.close()
        twin.session, twin.n_dropped = self.session.fork(), self.n_dropped
        return twin

    def clear(self) -> None:
        """Forget every turn; the system prompt stays."""
        self.turns.clear()
        self.n_dropped = 0

    @property
    def _shown(self) -> Sequence[Turn]:
        return self.turns[self.n_dropped :]

    def _replace_last(self, content: tuple[Content, ...]) -> Iterator[ChatEvent]:
        before = self.undo()
        n_turns = len(self.turns)
        try:
            yield from self.ask(*content)
        finally:
            if len(self.turns) == n_turns:
                self.turns.append(before)

    def _parts(self, turns: Sequence[Turn], question: Message) -> tuple[Part, ...]:
        messages = [] if self.system is None else [Message("system", (self.system,))]
        for turn in turns:
            messages += [turn.question, Message("assistant", (turn.answer,))]
        return self.engine.info.template.parts([*messages, question])

    def _make_room(self, question: Message) -> Iterator[Notice | Message]:
        """Apply the policy, if need be; gives notices, and the question if it had to be changed."""
        cost = self.session.cost(self._parts(self._shown, question))
        n_answer = min(self.options.max_tokens, cost.context // 4)
        if self.policy != "stop" and cost.remaining < n_answer:
            if self.policy == "drop":
                yield from self._drop(question, n_answer)
            else:
                yield from self._shrink(question, n_answer)
        elif cost.remaining < 1:
            raise ContextFullError(
                f"the context is full: with this question the conversation is {cost.prompt} tokens "
                f"({cost.vision} of them pictures) of {cost.context}; clear it, undo turns, or have "
                "the oldest dropped or pictures shrunk"
            )
        elif cost.prompt > _WARN_AT * cost.context:
            yield Notice(
                f"the context is {cost.prompt / cost.context:.0%} full: {cost.prompt} of {cost.context} "
                f"tokens, {cost.remaining} remain for the answer"
            )

    def _drop(self, question: Message, n_answer: int) -> Iterator[Notice]:
        costs = [
            self.session.cost(self._parts(self._shown[n:], question)) for n in range(len(self._shown) + 1)
        ]
        n_more = drop_oldest([cost.prompt for cost in costs], costs[0].context - n_answer)
        self.n_dropped += n_more
        yield Notice(
            f"the context is full: the model no longer sees the oldest {self.n_dropped} turns "
            f"({costs[0].prompt - costs[n_more].prompt} tokens)"
        )

    def _shrink(self, question: Message, n_answer: int) -> Iterator[Notice | Message]:
        shown = [turn.question for turn in self._shown]
        cost = self.session.cost(self._parts(self._shown, question))
        over = n_answer - cost.remaining
        *before, question = shrink_pictures([*shown, question], over, self.engine.info.image_limits)
        changed = [replace(turn, question=message) for turn, message in zip(self._shown, before, strict=True)]
        self.turns[self.n_dropped :] = changed
        yield question
        now = self.session.cost(self._parts(self._shown, question))
        yield Notice(
            "the context is full: pictures are shown smaller, "
            f"in {now.vision} tokens instead of {cost.vision}"
        )

    def _require_turn(self, what: str) -> None:
        if not self.turns:
            raise UsageError(f"there is nothing to {what}: nothing was asked yet")


def _question(content: Sequence[Content]) -> Message:
    return Message("user", tuple(content))
