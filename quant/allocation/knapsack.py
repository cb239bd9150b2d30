"""One option for each item, so that the sum of damages is least within a budget of bytes.

The multiple-choice knapsack problem (Kellerer, Pferschy, Pisinger: Knapsack Problems, 2004, chapter 11). Its
relaxation, in which an item may take two options in part, is solved exactly by Lagrange's method (for bits:
Shoham and Gersho, IEEE Transactions on Acoustics, Speech and Signal Processing 36, 1988): of each item only
the options on the lower convex hull count, and the steps along all hulls are taken in the order of what they
save for a byte, until the budget ends. The step that no longer fits is left out; what then remains is spent
on single options and on exchanges of two, hull or not. The relaxation bounds what any choice could reach, so
that the gap is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Option", "Packing", "pack"]

_MAX_EXCHANGES = 1000
_MAX_PAIRS = 16_000_000  # of options, of which exchanges are looked for in 400 MB; beyond, only single ones


@dataclass(frozen=True, slots=True)
class Option:
    """What an item may become."""

    n_bytes: int
    damage: float


@dataclass(frozen=True, slots=True)
class Packing:
    """The number of the chosen option of each item, what they sum up to, and the least that is possible.

    `bound` is the damage of the relaxed problem: no choice within the budget is below it.
    """

    chosen: tuple[int, ...]
    n_bytes: int
    damage: float
    bound: float

    @property
    def gap(self) -> float:
        """Return by which share of its damage the choice may be worse than the best one."""
        return max(0.0, 1 - self.bound / self.damage) if self.damage > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    """From one option of an item to the next one on its hull."""

    item: int
    option: int
    n_bytes: int
    saved: float


def pack(items: Sequence[Sequence[Option]], budget_bytes: int) -> Packing | None:
    """Choose an option for each item; None if even the smallest ones do not fit.

    Args:
        items: The options of each, at least one; damages are at least 0.
        budget_bytes: What the chosen options may sum up to.
    """
    hulls = [_hull(options) for options in items]
    chosen = [hull[0] for hull in hulls]
    left = budget_bytes - sum(options[i].n_bytes for options, i in zip(items, chosen, strict=True))
    if left < 0:
        return None
    steps = sorted(
        (step for i, hull in enumerate(hulls) for step in _steps(i, items[i], hull)),
        key=lambda step: (-step.saved / step.n_bytes, step.item, step.n_bytes),
    )
    taken = 0
    while taken < len(steps) and steps[taken].n_bytes <= left:
        step = steps[taken]
        chosen[step.item] = step.option
        left -= step.n_bytes
        taken += 1
    bound = sum(options[i].damage for options, i in zip(items, chosen, strict=True))
    if taken < len(steps):
        bound -= steps[taken].saved * left / steps[taken].n_bytes
    _Rest(items, chosen, left).spend()
    picked = [options[i] for options, i in zip(items, chosen, strict=True)]
    damage = sum(option.damage for option in picked)
    return Packing(
        tuple(chosen), sum(option.n_bytes for option in picked), damage, max(0.0, min(bound, damage))
    )


def _hull(options: Sequence[Option]) -> list[int]:
    """Return the options on the lower convex hull of damage over bytes, from the smallest on."""
    hull: list[int] = []
    for i in sorted(range(len(options)), key=lambda i: (options[i].n_bytes, options[i].damage)):
        if hull and options[i].damage >= options[hull[-1]].damage:
            continue
        while len(hull) > 1 and _slope(options, hull[-2], hull[-1]) <= _slope(options, hull[-1], i):
            hull.pop()
        hull.append(i)
    return hull


def _slope(options: Sequence[Option], first: int, second: int) -> float:
    """Return what a byte saves between two options, the second being larger."""
    a, b = options[first], options[second]
    return (a.damage - b.damage) / (b.n_bytes - a.n_bytes)


def _steps(item: int, options: Sequence[Option], hull: Sequence[int]) -> list[_Step]:
    return [
        _Step(item, b, options[b].n_bytes - options[a].n_bytes, options[a].damage - options[b].damage)
        for a, b in pairwise(hull)
    ]


class _Rest:
    """Spends what the steps left over, one change at a time, until no change helps."""

    def __init__(self, items: Sequence[Sequence[Option]], chosen: list[int], left: int) -> None:
        self._chosen, self._left = chosen, left
        self._item = np.array([i for i, options in enumerate(items) for _ in options])
        self._start = np.cumsum([0, *(len(options) for options in items)])[:-1]
        self._bytes = np.array([option.n_bytes for options in items for option in options])
        self._damage = np.array([option.damage for options in items for option in options])

    def spend(self) -> None:
        """Change `chosen` as long as that lowers the damage."""
        for _ in range(_MAX_EXCHANGES):
            at = self._start + np.array(self._chosen)
            more = self._bytes - self._bytes[at][self._item]
            saved = self._damage[at][self._item] - self._damage
            if not (self._take_one(more, saved) or self._exchange(more, saved)):
                return

    def _take_one(self, more: NDArray[np.int64], saved: NDArray[np.float64]) -> bool:
        best = int(np.argmax(np.where(more <= self._left, saved, 0)))
        if saved[best] <= 0 or more[best] > self._left:
            return False
        self._apply(best, more)
        return True

    def _exchange(self, more: NDArray[np.int64], saved: NDArray[np.float64]) -> bool:
        """Make one item smaller for the sake of another one."""
        givers, takers = np.flatnonzero(more < 0), np.flatnonzero(saved > 0)
        if givers.size * takers.size == 0 or givers.size * takers.size > _MAX_PAIRS:
            return False
        gain = saved[takers][None, :] + saved[givers][:, None]  # (givers, takers)
        fits = more[takers][None, :] + more[givers][:, None] <= self._left
        gain[~fits | (self._item[takers][None, :] == self._item[givers][:, None])] = 0
        row, column = np.unravel_index(int(np.argmax(gain)), gain.shape)
        # what rounding could have made is no gain: exchanges must come to an end
        if gain[row, column] <= 1e-12 * abs(saved[givers[row]]):
            return False
        self._apply(int(givers[row]), more)
        self._apply(int(takers[column]), more)
        return True

    def _apply(self, option: int, more: NDArray[np.int64]) -> None:
        item = int(self._item[option])
        self._chosen[item] = option - int(self._start[item])
        self._left -= int(more[option])
