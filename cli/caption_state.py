"""How a captioning run is getting on: counted from what it tells, drawn by others."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl_edge.captions.events import Event, Opened, Parallel, Restarted, Running, Working
from qwen3vl_edge.captions.run_events import Passed, Recorded, RunEvent

if TYPE_CHECKING:
    from qwen3vl_edge.captions.values import Outcome, Request

__all__ = ["Pace", "RunState"]

_WINDOW_S = 60.0
_LEAST_S = 1.0
_MOST_SAMPLES = 2000


class Pace:
    """How fast something grows, over the last minute."""

    def __init__(self, clock: Callable[[], float], count: int = 0) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), count)], maxlen=_MOST_SAMPLES)

    def reached(self, count: int) -> None:
        """Note that it has come to `count`."""
        now = self._clock()
        while len(self._samples) > 1 and now - self._samples[1][0] > _WINDOW_S:
            self._samples.popleft()
        self._samples.append((now, count))

    @property
    def per_second(self) -> float | None:
        """The rate; None as long as it is too early to tell."""
        (began, before), (_, count) = self._samples[0], self._samples[-1]
        seconds = self._clock() - began
        return (count - before) / seconds if seconds >= _LEAST_S and count > before else None


class RunState:
    """What is known of a run: ``total`` items, None as long as nobody has counted them.

    ``n_done``, ``n_failed`` and ``n_skipped`` are items, ``n_tokens`` those of their answers; ``activity``
    is what goes on beside captioning, or "".
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total: int | None = None
        self.n_done = self.n_failed = self.n_skipped = self.n_restarts = 0
        self.n_parallel: int | None = None
        self.activity = "starting"
        self._clock = clock
        self._began_s = clock()
        self._captions, self._pace_tokens = Pace(clock), Pace(clock)
        self.n_tokens = 0
        self._n_captioned = 0
        self._paths: dict[int, Path] = {}
        self._running: tuple[int, ...] = ()

    @property
    def n_seen(self) -> int:
        """Items that are dealt with, one way or another."""
        return self.n_done + self.n_failed + self.n_skipped

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began_s

    @property
    def images_per_second(self) -> float | None:
        """Over the last minute; None as long as it is too early to tell."""
        return self._captions.per_second

    @property
    def tokens_per_second(self) -> float | None:
        """Over the last minute; None as long as it is too early to tell."""
        return self._pace_tokens.per_second

    @property
    def left_s(self) -> float | None:
        """What the rest takes at this pace, if all of it is captioned; None if that cannot be told."""
        pace = self.images_per_second
        return None if self.total is None or pace is None else max(0, self.total - self.n_seen) / pace

    @property
    def current(self) -> list[Path]:
        """The files that the model is at."""
        paths = self._paths  # replaced, never changed in place where others read it
        return [paths[number] for number in self._running if number in paths]

    def asked(self, requests: "Iterator[Request]") -> "Iterator[Request]":
        """Pass `requests` on, remembering their files."""
        for request in requests:
            self._paths = {**self._paths, request.number: request.path}
            yield request

    def answered(self, outcome: "Outcome") -> None:
        """Count the tokens of an outcome, and forget its file."""
        self.n_tokens += sum(answer.n_tokens for answer in outcome.answers)
        self._pace_tokens.reached(self.n_tokens)
        self._paths = {number: path for number, path in self._paths.items() if number != outcome.number}

    def heed(self, event: RunEvent) -> None:
        """Count what the run tells."""
        match event:
            case Passed():
                self.n_skipped += 1
            case Recorded(record=record) if record.error is not None:
                self.n_failed += 1
            case Recorded(is_restored=is_restored):
                self.n_done += 1
                self._n_captioned += not is_restored
                self._captions.reached(self._n_captioned)

    def hear(self, event: Event) -> None:
        """Take in what the supervisor tells."""
        match event:
            case Working(what=what, done=done, total=total):
                self.activity = f"{what}, {100 * done // total} %" if total else what
            case Opened(name=name):
                self.activity = f"{name} is open"
            case Parallel(n=n):
                self.n_parallel, self.activity = n, ""
                self._captions = Pace(self._clock, self._n_captioned)  # opening the model is no captioning
                self._pace_tokens = Pace(self._clock, self.n_tokens)
            case Running(numbers=numbers):
                self._running, self.activity = numbers, ""
            case Restarted(n_parallel=n_parallel):
                self.n_restarts += 1
                self.n_parallel, self._running = n_parallel, ()
                self.activity = "restarting"
