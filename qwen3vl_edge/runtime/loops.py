"""Notices that an answer repeats itself without end."""

import numpy as np

__all__ = ["LoopDetector"]

_LONGEST_PERIOD = 512  # tokens: a long paragraph
_WINDOWS = 16  # room for so many windows of tokens before the last one is moved

# What no sensible answer has: the same piece at least so often in a row, over at least so many tokens.
# A row of dashes, a table's separator, a run of blank table rows or of equal numbers stays below;
# above, only answers that have to repeat are cut, such as a matrix of 16 × 16 zeros. At 15 tokens/s (2B,
# two threads) 300 take 20 s.
_LEAST_REPEATS = 4
_LEAST_TOKENS = 300


class LoopDetector:
    """Follows the tokens of one answer; the work per token is that on 512 numbers.

    A loop is a piece of 1 to 512 tokens that stands at the end of the answer, exactly the same, at least
    four times in a row and over at least 300 tokens. Repetitions that count or vary are none.
    """

    def __init__(self) -> None:
        size = _WINDOWS * _LONGEST_PERIOD
        # backwards: the latest token is at _start, that of p tokens ago at _start + p; -1 is no token
        self._tokens = np.full(size, -1, np.int64)
        self._start = size - _LONGEST_PERIOD
        periods = np.arange(1, _LONGEST_PERIOD + 1)
        self._n_same = np.zeros(_LONGEST_PERIOD, np.int64)  # latest tokens equal to those a period before
        self._n_least = np.maximum(_LEAST_TOKENS, _LEAST_REPEATS * periods) - periods
        self._n_repeated = 0

    @property
    def n_repeated(self) -> int:
        """How many of the latest tokens only say again what stood before them; 0 while there is no loop."""
        return self._n_repeated

    def push(self, token: int) -> bool:
        """Take the next `token`; True when the answer has ended up in a loop."""
        before = self._tokens[self._start : self._start + _LONGEST_PERIOD]
        self._n_same = (self._n_same + 1) * (before == token)
        self._remember(token)
        loops = np.flatnonzero(self._n_same >= self._n_least)
        self._n_repeated = int(self._n_same[loops[0]]) if loops.size else 0
        return bool(loops.size)

    def _remember(self, token: int) -> None:
        if self._start == 0:
            self._start = len(self._tokens) - _LONGEST_PERIOD
            self._tokens[self._start :] = self._tokens[:_LONGEST_PERIOD]
        self._start -= 1
        self._tokens[self._start] = token
