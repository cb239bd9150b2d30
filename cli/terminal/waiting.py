"""What is said beside the spinner of work that takes long."""

import time
from collections.abc import Callable

__all__ = ["Waiting"]


class Waiting:
    """A piece of work as a line: how far it is, and how long it will still take.

    Args:
        show: Takes the line, each time that it changes.
        description: What is done.
        total: How many units there are; None where nobody knows.
        unit: What is counted.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        show: Callable[[str], None],
        description: str,
        total: int | None,
        unit: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show, self._description, self._total, self._unit = show, description, total, unit
        self._clock, self._started_s, self._n_done = clock, clock(), 0

    def advance(self, amount: int = 1) -> None:
        """Note that `amount` more units are done."""
        self._n_done += amount
        if self._total is None:
            self._show(f"{self._description} {self._n_done} {self._unit}")
            return
        left_s = (self._clock() - self._started_s) / self._n_done * (self._total - self._n_done)
        minutes, seconds = divmod(round(left_s), 60)
        done = f"{self._description} {self._n_done}/{self._total} {self._unit}"
        self._show(f"{done}, {minutes}:{seconds:02} left")
