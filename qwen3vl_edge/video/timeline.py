"""Frames that are shown for some time each, as indices on an even grid."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Timeline"]

_MAX_GRID = 1 << 31


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times at which frames begin, and the end of the last, in whole milliseconds, rising."""

    starts_ms: tuple[int, ...]
    end_ms: int

    @property
    def step_ms(self) -> int:
        """The widest grid on which every frame begins and the last one ends."""
        return math.gcd(*(after - before for before, after in pairwise((*self.starts_ms, self.end_ms))))

    @property
    def n_steps(self) -> int:
        """How many indices there are."""
        return min((self.end_ms - self.starts_ms[0]) // self.step_ms, _MAX_GRID)

    @property
    def fps(self) -> float:
        """Indices of a second."""
        return 1000 / self.step_ms

    def frame_at(self, index: int) -> int:
        """Give which frame is seen at an index."""
        return bisect_right(self.starts_ms, self.starts_ms[0] + index * self.step_ms) - 1

    @classmethod
    def of_durations(cls, durations_ms: Sequence[int]) -> "Timeline":
        """Give the timeline of frames that follow each other."""
        starts, now = [], 0
        for duration in durations_ms:
            starts.append(now)
            now += duration
        return cls(tuple(starts), now)
