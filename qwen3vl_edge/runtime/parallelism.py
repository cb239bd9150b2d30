"""How many sequences at once are fastest: bounded by cells, then measured."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np

from qwen3vl_edge.images import VisionPart
from qwen3vl_edge.runtime.batch import TextPiece
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["choose_parallel", "fewest"]

_ROUNDS = (2, 4)  # of one number of sequences, at least and at most: the first is slow
_ENOUGH_S = 0.3  # that they take together
_MOST_READ = 16  # tokens that stand before each answer while rounds are timed
_ANSWER = 128  # tokens of an answer that is not limited to fewer
_NEAR = 0.98  # of the best rate: more sequences than that needs only take memory
_SIDES_PX = (64, 160)  # of the pictures that are encoded: the first encoding is slow, the second counts


def choose_parallel(bench: Workbench, prompt: TokenizedPrompt, max_tokens: int, most: int) -> int:
    """Give how many prompts like this one are best continued at once, by up to `max_tokens` each.

    Rounds of `most` sequences, or of as many as the cells and the free sequences of `bench` allow, are timed,
    each sequence as in the middle of an answer; then rounds of half as many, and so on while that is about
    as fast (see `fewest`). What encoding and reading a prompt takes counts, too: it is the same for every
    number.

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
    with bench.measuring() as task, closing(_Timing(bench, most, claim, n_read)) as timing:
        task.advance()
        prompt_s = _encode_s(bench, prompt.n_vision) + timing.read_s * prompt.n_cells
        task.advance()

        def round_s(number: int) -> float:
            seconds = timing.round_s(number)
            task.advance()
            return seconds

        return fewest(most, round_s, prompt_s, n_answer)


def fewest(most: int, round_s: Callable[[int], float], prompt_s: float, n_answer: int) -> int:
    """Give a number of sequences that is nearly as fast as any up to `most`, and less if less does.

    Halves are tried as long as they are nearly as fast as the best so far. Trying goes downwards because
    rates do not rise evenly: kernels for many rows begin to gain only at 16 on some CPUs, where 4 and 8 are
    no better than 2.

    Args:
        most: The largest.
        round_s: Gives the seconds of a round with so many.
        prompt_s: Seconds to encode and read one prompt.
        n_answer: Tokens of one answer.
    """

    def answer_s(number: int) -> float:
        return prompt_s + n_answer * round_s(number) / number

    chosen, best_s, number = most, answer_s(most), most
    while number > 1:
        number = 1 << ((number - 1).bit_length() - 1)  # the next smaller power of two
        seconds = answer_s(number)
        if seconds * _NEAR > best_s:
            break
        chosen, best_s = number, min(best_s, seconds)
    return chosen


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
    """`most` sequences of `bench` that hold `n_read` of up to `claim` tokens; `close` gives them back.

    ``read_s`` is the seconds of reading a token of a prompt.
    """

    def __init__(self, bench: Workbench, most: int, claim: int, n_read: int) -> None:
        self._bench, self._n_read = bench, n_read
        self._token = bench.tokenizer.vision_marks[0][0]
        self._lanes = bench.take_apart(most, claim)
        try:
            while len(self._lanes) < most:
                self._lanes.append(bench.take_sequence())
            context = bench.context(bench.pool.n_used + most * (n_read + 1))
            first, *others = self._lanes
            _seconds(context, [TextPiece([self._token], first, 0)])  # brings the weights into memory
            context.forget(first, 0)
            self.read_s = _seconds(context, [TextPiece([self._token] * n_read, first, 0)]) / n_read
            state = context.state(first)
            for lane in others:
                context.restore(lane, state)
        except BaseException:
            self.close()
            raise
        self._context = context

    def round_s(self, number: int) -> float:
        """Give the seconds of the fastest of several rounds of one token for so many sequences."""
        least, most = _ROUNDS
        seconds: list[float] = []
        while len(seconds) < least or (len(seconds) < most and sum(seconds) < _ENOUGH_S):
            pieces = [TextPiece([self._token], lane, self._n_read, 1) for lane in self._lanes[:number]]
            seconds.append(_seconds(self._context, pieces))
            for lane in self._lanes[:number]:
                self._context.forget(lane, self._n_read)
        return min(seconds)

    def close(self) -> None:
        """Give the sequences back, empty."""
        for lane in self._lanes:
            self._bench.empty(lane, 0)
            self._bench.give_back(lane)


def _seconds(context: Context, pieces: Sequence[TextPiece]) -> float:
    started = time.perf_counter()
    context.read_text(pieces)
    context.wait()
    return time.perf_counter() - started
