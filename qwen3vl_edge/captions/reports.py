"""What the worker says of its work while it is at it."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qwen3vl_edge.captions.tally import Key
from qwen3vl_edge.captions.wire import Beat, Running, Working
from qwen3vl_edge.progress import Task
from qwen3vl_edge.runtime.jobs import Step

__all__ = ["Loading", "StepReports", "beat"]

_BEAT_S = 1.0


class StepReports:
    """Says each native step before it begins, so that a crash is known by what it was at.

    A round of decoding like the one before it, for the same requests, is said once a second.
    """

    def __init__(self, send: Callable[[Running], None]) -> None:
        self._send = send
        self._last: tuple[str, tuple[int, ...]] | None = None
        self._n_tokens, self._sent_s = 0, 0.0

    def __call__(self, step: Step[Key]) -> None:
        """Say `step`."""
        numbers = tuple(sorted({number for number, _ in step.keys}))
        now = time.monotonic()
        if step.kind != "decode" or self._last != (step.kind, numbers) or now - self._sent_s >= _BEAT_S:
            self._send(Running(step.kind, numbers, self._n_tokens))
            self._last, self._sent_s = (step.kind, numbers), now
        if step.kind == "decode":
            self._n_tokens += len(step.keys)


class Loading:
    """A `Progress` whose tasks are said once a second: signs of life while the model is opened."""

    def __init__(self, send: Callable[[Working], None]) -> None:
        self._send = send
        self._sent_s = -math.inf

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        """Open a task; see `Progress`. The unit is not said."""
        yield _Said(lambda done: self._say(Working(description, done, total)))

    def _say(self, working: Working) -> None:
        now = time.monotonic()
        if now - self._sent_s >= _BEAT_S:
            self._send(working)
            self._sent_s = now


class _Said:
    def __init__(self, say: Callable[[int], None]) -> None:
        self._say, self._done = say, 0
        say(0)

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        self._say(self._done)


def beat(send: Callable[[Beat], None], count: Callable[[], int]) -> None:
    """Say, from a thread of its own and as long as the process lives, whenever `count` has gone on.

    Encoding one large picture on a CPU can take an hour, in one native step.
    """

    def watch() -> None:
        before = count()
        while True:
            time.sleep(_BEAT_S)
            now = count()
            if now != before:
                send(Beat())
            before = now

    threading.Thread(target=watch, name="pulse", daemon=True).start()
