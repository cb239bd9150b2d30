"""Many scripted answers at once."""

import time
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from qwen3vl_edge.errors import ContextFullError, MediaError
from qwen3vl_edge.prompt import VisionPart
from qwen3vl_edge.runtime.engine import Event, Finished, Generated, Session
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch

__all__ = ["ScriptedJobs"]

K = TypeVar("K")

_ASK_AGAIN_S = 0.005


class _Engine(Protocol):
    cancelled: bool

    def open_session(self) -> Session: ...


class ScriptedJobs(Generic[K]):
    """Answers `jobs` through sessions of `engine`; see `Engine.generate_many`."""

    def __init__(
        self, engine: _Engine, jobs: Iterator[Job[K] | None], n_parallel: int, watch: Watch[K]
    ) -> None:
        self._engine, self._jobs, self._n_parallel, self._watch = engine, jobs, n_parallel, watch
        self._running: list[_Running[K]] = []
        self._waiting: Job[K] | None = None  # for room
        self._more = True

    def run(self) -> Iterator[Completed[K] | Refused[K]]:
        """Give the results as they come."""
        while True:
            yield from self._admit()
            if self._running:
                yield from self._go_on()
            elif self._more:
                time.sleep(_ASK_AGAIN_S)
            elif not self._waiting:
                return

    def _admit(self) -> Iterator[Refused[K]]:
        while len(self._running) < self._n_parallel:
            job = self._waiting or self._take()
            if job is None:
                return
            begun = self._begin(job)
            if isinstance(begun, _Running):
                self._running.append(begun)
            elif isinstance(begun.error, ContextFullError) and self._running:
                self._waiting = job
                return
            else:
                yield begun
            self._waiting = None

    def _take(self) -> Job[K] | None:
        self._more = self._more and not self._engine.cancelled
        if self._more:
            try:
                return next(self._jobs)
            except StopIteration:
                self._more = False
        return None

    def _begin(self, job: Job[K]) -> "_Running[K] | Refused[K]":
        """Read the prompt, up to the first character."""
        session = self._engine.open_session()
        try:
            for part in job.parts:
                if isinstance(part, VisionPart):
                    self._watch(Step("encode", (job.key,)))
                    part.load()
            self._watch(Step("prefill", (job.key,)))
            return _Running(job, session, session.generate(job.parts, job.options))
        except (ContextFullError, MediaError) as error:
            session.close()
            return Refused(job.key, error)

    def _go_on(self) -> Iterator[Completed[K]]:
        self._watch(Step("decode", tuple(one.job.key for one in self._running)))
        for one in list(self._running):
            done = one.step()
            if done is not None:
                self._running.remove(one)
                yield done


class _Running(Generic[K]):
    """A job whose answer has begun."""

    def __init__(self, job: Job[K], session: Session, events: Iterator[Event]) -> None:
        self.job = job
        self._session, self._events, self._next = session, events, next(events)
        self._text = ""

    def step(self) -> Completed[K] | None:
        """Go on by a character; gives the end."""
        match self._next:
            case Generated(text=text):
                self._text += text
            case Finished() as finished:
                self._session.close()
                return Completed(self.job.key, self._text, "", finished)
        self._next = next(self._events)
        return None
