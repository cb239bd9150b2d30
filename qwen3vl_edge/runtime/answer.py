"""One answer while it is generated: reasoning and text, and what ends it."""

import codecs
from collections import deque
from collections.abc import Callable

from qwen3vl_edge.runtime.engine import Generated, GenerateOptions, Reasoned, StopReason, TokenLogprob
from qwen3vl_edge.runtime.loops import LoopDetector
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.runtime.stop_strings import StopStrings

__all__ = ["Answer"]

_THINK_END = "</think>"
_BEFORE_ANSWER = "\n\n"
_LOOK_AHEAD = 512  # tokens before the end at which a constrained answer is looked at; endings are shorter
_MARGIN = 32  # tokens that the next one may add to the ending, by opening an object
# What Qwen3 is trained to go on from when its thinking is cut short: Qwen3 Technical Report,
# arXiv 2505.09388, section 4.3, "Thinking Mode Fusion".
_OUT_OF_TIME = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking "
    "directly now.\n"
)


class Answer:
    """Follows the tokens of one answer; ``stop_reason`` is None as long as it goes on.

    Args:
        model: Spells the tokens.
        sampler: Chooses them.
        options: What to generate.
        thinks: The prompt ends in an open reasoning.
        room: Gives the cells that are free, whenever it is asked.
    """

    def __init__(
        self,
        model: TextModel,
        sampler: Sampler,
        options: GenerateOptions,
        *,
        thinks: bool,
        room: Callable[[], int],
    ) -> None:
        self._model, self._sampler, self._options, self._room = model, sampler, options, room
        self.stop_reason: StopReason | None = None
        self.n_tokens = self.n_reasoning = 0
        self._thinks = thinks
        self._begun = False  # the sampler knows that the answer itself has begun
        self._bare = thinks  # nothing of the answer but line ends came yet: they belong to the reasoning
        self._forced: deque[int] = deque()
        self._closing = False  # what is forced ends the answer
        self._form = options.constraint.follow() if options.constraint else None
        self._loops = LoopDetector()
        self._stops = StopStrings(options.stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._think_end = self._special(_THINK_END)
        if options.think_budget == 0 and thinks:
            self._force("\n")
        self._begin_answer_if_due()

    def choose(self, chosen: Callable[[], int]) -> int:
        """Give the next token: one that has to come now, or else the one `chosen`."""
        options = self._options
        if not self._forced:
            self._sampler.may_end = not options.ignore_end and self.n_tokens >= options.min_tokens
            return chosen()
        token = self._forced.popleft()
        self._sampler.accept(token)
        return token

    def take(self, token: int, logprob: TokenLogprob | None) -> Generated | Reasoned:
        """Give the event of `token`; afterwards ``stop_reason`` says whether it was the last."""
        self.n_tokens += 1
        self.stop_reason = self._end_by(token)
        piece = b"" if self._model.ends_answer(token) else self._model.piece(token)
        event = self._reason(token, piece, logprob) if self._thinks else self._answer(piece, logprob)
        self._begin_answer_if_due()
        self._close_form_if_due()
        return event

    def _end_by(self, token: int) -> StopReason | None:
        repeats = self._loops.push(token) and self._options.loop_guard
        if self._model.ends_answer(token):
            return "stop"
        if self._closing and not self._forced:
            return "length"
        if self.n_tokens == self._options.max_tokens:
            return "length"
        if self._room() < 1:
            return "context"
        return "loop" if repeats else None

    def _reason(self, token: int, piece: bytes, logprob: TokenLogprob | None) -> Reasoned:
        self.n_reasoning += 1
        if [token] == self._think_end:
            self._thinks = False
            if self._options.constraint and not self._forced:
                self._forced.extend(self._model.tokenize(_BEFORE_ANSWER, parse_special=False))
            return Reasoned(self._decoder.decode(b"", final=True), logprob)
        if self.n_reasoning == self._options.think_budget:
            self._force(_OUT_OF_TIME)
        return Reasoned(self._decoder.decode(piece, final=self.stop_reason is not None), logprob)

    def _answer(self, piece: bytes, logprob: TokenLogprob | None) -> Generated:
        decoded = self._decoder.decode(piece, final=self.stop_reason is not None)
        if self._form is not None and self._begun:
            self._form.take(decoded)
        text, found = self._stops.push(decoded)
        if found:
            self.stop_reason = "stop"
        elif self.stop_reason:
            text += self._stops.flush()
        if self._bare:
            text = text.lstrip("\n")
            self._bare = not text
        return Generated(text, logprob)

    def _begin_answer_if_due(self) -> None:
        if not (self._begun or self._thinks or self._forced):
            self._begun = True
            self._sampler.begin_answer()

    def _close_form_if_due(self) -> None:
        """Where tokens run out, end a constrained answer in the shortest way that its form allows."""
        n_left = min(self._options.max_tokens - self.n_tokens, self._room())
        if self._form is None or not self._begun or self._forced or self.stop_reason or n_left > _LOOK_AHEAD:
            return
        if self._decoder.getstate()[0]:  # amid a character
            return
        ending = self._model.tokenize(self._form.ending(), parse_special=False)
        if ending and len(ending) + _MARGIN >= n_left:
            self._forced.extend(ending)
            self._closing = True

    def _force(self, last_words: str) -> None:
        """End the reasoning with `last_words`."""
        plain = [self._model.tokenize(text, parse_special=False) for text in (last_words, _BEFORE_ANSWER)]
        self._forced.extend([*plain[0], *self._think_end, *plain[1]])

    def _special(self, text: str) -> list[int]:
        return self._model.tokenize(text, parse_special=True)
