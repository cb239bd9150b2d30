"""A clock by which a worker is judged: it stands still while nobody can have heard the worker."""

import time

__all__ = ["WakingClock"]

_LONGEST_S = 2.0


class WakingClock:
    """Seconds between ticks, of each wait at most two: a process may be stopped, or busy elsewhere.

    Otherwise a worker would count as hung when its supervisor comes back from Ctrl-Z, or from a disk that
    took minutes.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._last_s = time.monotonic()

    def tick(self) -> float:
        """Give the time."""
        last_s, self._last_s = self._last_s, time.monotonic()
        self.now_s += min(self._last_s - last_s, _LONGEST_S)
        return self.now_s
