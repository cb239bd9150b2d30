"""How many sequences at once are fastest: bounded by cells, then measured."""

import math
import time
from collections.abc import Sequence

from qwen3vl_edge.runtime.batch import TextPiece
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["best_of", "choose_parallel"]

_TRIED = (1, 2, 4, 8, 16, 32)
_ROUNDS = 3
_ENOUGH_S = 0.3  # a number of sequences whose rounds take longer together is not tried again
_BEGINNING = 32  # tokens that stand before each answer while rounds are timed
_ANSWER = 128  # tokens of an answer that is not limited to fewer
_NEAR = 0.95  # of the best rate: more sequences than that needs only take memory


def choose_parallel(bench: Workbench, n_prompt: int, max_tokens: int) -> int:
    """Give how many prompts of `n_prompt` cells are best continued at once, by up to `max_tokens` each.

    Rounds of 1, 2, 4 … sequences are timed, as many as the cells and the free sequences of `bench` allow.
    """
    n_free = bench.n_free()
    claim = max(1, min(n_prompt + max_tokens, n_free))
    for_timing = (n_free - _BEGINNING) // (2 * _ROUNDS)  # all that are tried take less than twice the last
    most = max(1, min(n_free // claim, for_timing, bench.n_sequences_free()))
    tried = [number for number in _TRIED if number <= most]
    if len(tried) == 1:
        return 1
    read_s, rounds_s = _timed(bench, tried)
    return best_of(tried, rounds_s, read_s * n_prompt, min(max_tokens, _ANSWER))


def best_of(tried: Sequence[int], rounds_s: Sequence[float], prompt_s: float, n_answer: int) -> int:
    """Give the least number of sequences with nearly the most answers a second.

    Args:
        tried: Numbers of sequences, ascending.
        rounds_s: Seconds of a round with so many.
        prompt_s: Seconds to read one prompt.
        n_answer: Tokens of one answer.
    """
    rates = [1 / (prompt_s + n_answer * s / number) for number, s in zip(tried, rounds_s, strict=True)]
    return next(number for number, rate in zip(tried, rates, strict=True) if rate >= _NEAR * max(rates))


def _timed(bench: Workbench, tried: Sequence[int]) -> tuple[float, list[float]]:
    """Time reading, in seconds a token, and the rounds of so many sequences each, the best of several."""
    lanes = [bench.take_sequence() for _ in range(max(tried))]
    token = bench.tokenizer.vision_marks[0][0]
    beginning = TextPiece([token] * _BEGINNING, lanes[0], 0)
    try:
        context = bench.context(bench.pool.n_used + _BEGINNING + _ROUNDS * sum(tried))
        _seconds(context, [beginning])  # the first reading is slow
        context.forget(lanes[0], 0)
        read_s = _seconds(context, [beginning]) / _BEGINNING
        for lane in lanes[1:]:
            context.copy(lanes[0], lane)
        rounds = _Rounds(context, lanes, token)
        return read_s, [rounds.best_s(number) for number in tried]
    finally:
        for lane in lanes:
            bench.empty(lane, 0)
            bench.give_back(lane)


class _Rounds:
    """Rounds of one token for each of the first `lanes`, which hold the same beginning."""

    def __init__(self, context: Context, lanes: Sequence[int], token: int) -> None:
        self._context, self._lanes, self._token = context, lanes, token
        self._position = _BEGINNING

    def best_s(self, number: int) -> float:
        """Give the seconds of the fastest of several rounds of so many."""
        best = math.inf
        for _ in range(_ROUNDS):
            pieces = [TextPiece([self._token], lane, self._position, 1) for lane in self._lanes[:number]]
            best = min(best, _seconds(self._context, pieces))
            self._position += 1
            if best > _ENOUGH_S:
                break
        return best


def _seconds(context: Context, pieces: Sequence[TextPiece]) -> float:
    started = time.perf_counter()
    context.read_text(pieces)
    context.wait()
    return time.perf_counter() - started
