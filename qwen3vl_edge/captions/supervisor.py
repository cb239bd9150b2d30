"""Keeps a worker at work, whatever happens to it: every request gets one outcome."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self

from qwen3vl_edge.captions.clock import WakingClock
from qwen3vl_edge.captions.events import DEFAULT_PATIENCE, Event, Patience
from qwen3vl_edge.captions.flight import Flight
from qwen3vl_edge.captions.process import Ended, WorkerProcess
from qwen3vl_edge.captions.recovery import Failure, Recovery
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.wire import Fault, Message, Opened, Parallel, Reading, Running, Working
from qwen3vl_edge.captions.worker_settings import WorkerSettings

__all__ = ["WORKER", "Supervisor"]

WORKER = (sys.executable, "-P", "-m", "qwen3vl_edge.captions.worker")
"""The command of the worker that runs llama.cpp."""

_TICK_S = 0.25
_MOST_UNTIL_PARALLEL = 8  # requests that a worker is given before it says how many it runs at once


def _nothing(_event: Event) -> None:
    pass


class Supervisor:
    """Runs requests through a worker process; a context manager, which ends the worker.

    Loads nothing native itself. A worker that crashes or hangs is replaced: the requests it was at run
    again alone, and one that ends its worker even so is ``crashed``. Where memory runs out, half as
    many sequences run at once from then on.

    Args:
        settings: What workers are told.
        on_event: Told what happens, in the thread that runs.
        patience: When to give up what.
        command: Starts a worker; it speaks `qwen3vl_edge.captions.wire` on its standard streams.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        on_event: Callable[[Event], None] = _nothing,
        patience: Patience = DEFAULT_PATIENCE,
        command: Sequence[str] = WORKER,
    ) -> None:
        self._settings, self._tell, self._patience, self._command = settings, on_event, patience, command
        self._recovery = Recovery(settings.n_parallel, patience)
        self._cancelled = threading.Event()
        self._flight = Flight()
        self._clock = WakingClock()
        self._worker: WorkerProcess | None = None
        self._forget_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """End `run` soon, without outcomes for what is not done; any thread may call this."""
        self._cancelled.set()

    def close(self) -> None:
        """End the worker."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(self._patience.end_s)

    def run(self, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Give the outcome of each request, in the order in which they come.

        Requests, whose numbers differ, are taken as they are needed, a few for each sequence. The first
        of them starts a worker. Outcomes that are not there when this is cancelled or closed never come.

        Raises:
            UsageError, GGUFError: The worker refuses the settings or the model's files.
            EngineError: It cannot open the model, the model has changed, or no file gets through any more.
        """
        source = iter(requests)
        self._flight = Flight()
        try:
            has_more = True
            while not self._cancelled.is_set() and (has_more or not self._flight.is_empty):
                fed, has_more = self._feed(source, has_more)
                if self._worker is not None:
                    yield from self._attend(0.0 if fed else _TICK_S)
            if self._cancelled.is_set():
                yield from self._wind_down()
        finally:
            self.close()

    def _feed(self, source: Iterator[Request], has_more: bool) -> tuple[bool, bool]:
        """Send one request if there is room; tell whether that was so, and whether there may be more."""
        n = self._recovery.n_parallel if self._is_parallel else None
        most = _MOST_UNTIL_PARALLEL if n is None else 3 * n + 2 * self._settings.n_readers
        request = self._flight.send_again(most)
        if request is None and has_more and self._flight.takes_new(most):
            request = next(source, None)
            has_more = request is not None
            if request is not None:
                self._flight.send(request)
        if request is not None:
            self._started().send(request)
        return request is not None, has_more

    def _started(self) -> WorkerProcess:
        if self._worker is None:
            self._forget_worker()
            settings = replace(self._settings, n_parallel=self._recovery.n_parallel)
            self._worker = WorkerProcess(self._command, settings)
        return self._worker

    def _forget_worker(self) -> None:
        self._opened = self._is_parallel = False
        self._fault: Fault | None = None
        self._hangs: tuple[str, tuple[int, ...]] | None = None
        self._alive_s = self._clock.now_s

    def _attend(self, timeout_s: float) -> Iterator[Outcome]:
        """Wait for what the worker says next, and act on it."""
        assert self._worker is not None  # noqa: S101 -- by its only caller
        message = self._worker.receive(timeout_s)
        now_s = self._clock.tick()
        if isinstance(message, Ended):
            yield from self._recover(message)
            return
        if message is not None or not self._flight.awaits:
            self._alive_s = now_s
        yield from self._heed(message)
        self._kill_if_hung()

    def _heed(self, message: Message | None) -> Iterator[Outcome]:
        match message:
            case Outcome():
                if self._flight.landed(message.number):
                    self._recovery.landed(message)
                    yield message
            case Running():
                self._flight.running(message.numbers)
            case Reading():
                self._flight.reading(message.numbers, self._clock.now_s)
            case Fault():
                self._fault = message
            case Opened():
                self._opened = True
                self._recovery.opened(message.identity)
            case Parallel():
                self._is_parallel = True
                self._recovery.n_parallel = message.n
        if isinstance(message, Opened | Parallel | Working | Running):
            self._tell(message)

    def _kill_if_hung(self) -> None:
        """End a worker that gives no sign of life, or reads one file for too long."""
        if self._worker is None or self._hangs:
            return
        limit_s = self._patience.item_s if self._opened else self._patience.start_s
        overdue = self._flight.overdue(self._clock.now_s, limit_s)
        if overdue or self._clock.now_s - self._alive_s > limit_s:
            self._hangs = f"it hung, no sign of life for {limit_s:g} s", overdue or self._flight.in_danger()
            self._worker.kill()

    def _recover(self, ended: Ended) -> Iterator[Outcome]:
        """Clear up after a worker; the next request starts another one."""
        self.close()
        reason, suspects = self._hangs or (str(ended), self._flight.in_danger())
        failure = Failure(
            reason=self._fault.error if self._fault else reason,
            opened=self._opened,
            fault=self._fault,
            killed=ended.from_outside and self._hangs is None,
            suspects=suspects,
        )
        restarted, outcomes = self._recovery.after(failure, self._flight)
        self._tell(restarted)
        yield from outcomes
        self._recovery.check_crashes()

    def _wind_down(self) -> Iterator[Outcome]:
        """Give what was done before the worker heard that it shall stop."""
        worker, until_s = self._worker, self._clock.tick() + self._patience.end_s
        if worker is None:
            return
        worker.finish()
        while self._clock.tick() < until_s:
            message = worker.receive(_TICK_S)
            if isinstance(message, Ended):
                return
            if isinstance(message, Outcome) and self._flight.landed(message.number):
                yield message
        worker.kill()
