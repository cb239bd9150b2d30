"""How many sequences at once are fastest: bounded by cells, then measured."""

import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from qwen3vl_edge.images import VisionPart
from qwen3vl_edge.runtime.batch import TextPiece
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["best_of", "choose_parallel"]

_TRIED = (1, 2, 4, 8, 16, 32)
_MOST_ROUNDS = 4
_ENOUGH_S = 0.3  # that rounds of one number of sequences take together
_MOST_READ = 64  # tokens that stand before each answer while rounds are timed
_ANSWER = 128  # tokens of an answer that is not limited to fewer
_NEAR = 0.95  # of the best rate: more sequences than that needs only take memory
_SIDES_PX = (64, 160)  # of the pictures that are encoded: the first encoding is slow, the second counts


def choose_parallel(bench: Workbench, prompt: TokenizedPrompt, max_tokens: int, most: int) -> int:
    """Give how many prompts like this one are best continued at once, by up to `max_tokens` each.

    Rounds of 1, 2, 4 … sequences are timed, each sequence with cells of its own as in the middle of an
    answer, up to `most` and as many as the cells and the free sequences of `bench` allow. What encoding
    and reading a prompt takes counts, too: it is the same for every number. None is passed over: kernels for
    many rows begin to gain only at 16 on some CPUs, where 4 and 8 are no better than 2.

    Raises:
        EngineError: llama.cpp failed, or was told to stop.
    """
    n_answer = min(max_tokens, _ANSWER)
    n_read = min(prompt.n_cells + n_answer // 2, _MOST_READ)
    n_free = bench.n_free()
    claim = max(1, min(prompt.n_cells + max_tokens, n_free))
    for_timing = n_free // (n_read + 1)
    most = max(1, min(n_free // claim, for_timing, bench.n_sequences_free(), most))
    if most == 1:
        return 1
    tried: list[int] = []
    rounds_s: list[float] = []
    with bench.measuring() as task, closing(_Timing(bench, n_read)) as timing:
        task.advance()
        prompt_s = _encode_s(bench, prompt.n_vision) + timing.read_s * prompt.n_cells
        task.advance()
        for number in [number for number in _TRIED if number < most] + [most]:
            tried.append(number)
            rounds_s.append(timing.round_s(number))
            task.advance()
    return best_of(tried, rounds_s, prompt_s, n_answer)


def best_of(tried: Sequence[int], rounds_s: Sequence[float], prompt_s: float, n_answer: int) -> int:
    """Give the least number of sequences with nearly the most answers a second.

    Args:
        tried: Numbers of sequences, ascending.
        rounds_s: Seconds of a round with so many.
        prompt_s: Seconds to encode and read one prompt.
        n_answer: Tokens of one answer.
    """
    rates = [1 / (prompt_s + n_answer * s / number) for number, s in zip(tried, rounds_s, strict=True)]
    return next(number for number, rate in zip(tried, rates, strict=True) if rate >= _NEAR * max(rates))


def _encode_s(bench: Workbench, n_tokens: int) -> float:
    """Estimate the seconds of encoding so many tokens by those of a small picture."""
    if not n_tokens:
        return 0.0
    seconds, n_encoded = 0.0, 1
    for side in _SIDES_PX:
        picture = VisionPart.of((np.zeros((side, side, 3), np.uint8),))
        started = time.perf_counter()
        n_encoded = len(bench.encode_anew(picture))
        seconds = time.perf_counter() - started
    return seconds * n_tokens / n_encoded


class _Timing:
    """Sequences of `bench` that hold `n_read` tokens each, in cells of their own; `close` gives them back.

    ``read_s`` is the seconds of reading a token of a prompt.
    """

    def __init__(self, bench: Workbench, n_read: int) -> None:
        self._bench, self._n_read = bench, n_read
        self._token = bench.tokenizer.vision_marks[0][0]
        self._lanes = [bench.take_sequence()]
        try:
            context = self._context(1)
            _seconds(context, [self._piece(1)])  # the first reading brings the weights into memory
            context.forget(self._lanes[0], 0)
            self.read_s = _seconds(context, [self._piece(n_read)]) / n_read
            self._state = context.state(self._lanes[0])
        except BaseException:
            self.close()
            raise

    def round_s(self, number: int) -> float:
        """Give the seconds of the fastest of several rounds of one token for so many sequences."""
        context = self._context(number)
        while len(self._lanes) < number:
            self._lanes.append(self._bench.take_sequence())
            context.restore(self._lanes[-1], self._state)
        seconds: list[float] = []
        while len(seconds) < _MOST_ROUNDS and sum(seconds) < _ENOUGH_S:
            pieces = [TextPiece([self._token], lane, self._n_read, 1) for lane in self._lanes[:number]]
            seconds.append(_seconds(context, pieces))
            for lane in self._lanes[:number]:
                context.forget(lane, self._n_read)
        return min(seconds)

    def close(self) -> None:
        """Give the sequences back, empty."""
        for lane in self._lanes:
            self._bench.empty(lane, 0)
            self._bench.give_back(lane)

    def _context(self, number: int) -> Context:
        return self._bench.context(self._bench.pool.n_used + number * (self._n_read + 1))

    def _piece(self, n_tokens: int) -> TextPiece:
        return TextPiece([self._token] * n_tokens, self._lanes[0], 0)


def _seconds(context: Context, pieces: Sequence[TextPiece]) -> float:
    started = time.perf_counter()
    context.read_text(pieces)
    context.wait()
    return time.perf_counter() - started
