"""The process that owns the model: ``python -P -m qwen3vl_edge.captions.worker``.

A supervisor (`qwen3vl_edge.captions.supervisor`) starts it, sends settings and requests and gets outcomes
back; before anything that may crash the worker says what it is at. It ends when its input ends.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.captions.channel import Channel, stand_alone
from qwen3vl_edge.captions.intake import Intake
from qwen3vl_edge.captions.loading import Loader
from qwen3vl_edge.captions.reports import Loading, StepReports, beat
from qwen3vl_edge.captions.tally import Key, Tally
from qwen3vl_edge.captions.wire import Fault, FaultKind, Opened, Parallel
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EdgeError, GGUFError, UsageError
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.runtime.engine import Engine
from qwen3vl_edge.runtime.jobs import Job
from qwen3vl_edge.runtime.native import encoder_steps

__all__ = ["OpenEngine", "main", "open_llama"]

OpenEngine = Callable[[WorkerSettings, Progress], AbstractContextManager[Engine]]
_Jobs = Iterator[Job[Key] | None]

_POLL_S = 0.02
_MEMORY = re.compile("memory|alloc", re.IGNORECASE)
"""What llama.cpp's complaints have in common when there is too little: it knows no code for that."""


def main(open_engine: OpenEngine) -> int:
    """Entry of the worker; returns its exit status.

    Args:
        open_engine: Opens the model; tests open something else.
    """
    channel = Channel.take_over()
    stand_alone()
    threading.excepthook = channel.end_with_thread
    try:
        settings = channel.receive()
        if isinstance(settings, WorkerSettings):
            _work(channel, settings, open_engine)
    except (EdgeError, MemoryError) as error:
        channel.send(Fault(_kind(error), str(error) or type(error).__name__))
        return 1
    return 0


@contextmanager
def open_llama(settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
    """Open the model with llama.cpp."""
    from qwen3vl_edge.runtime.llama_engine import LlamaEngine  # noqa: PLC0415 -- after `take_over`

    bundle = Bundle(settings.model.parent, settings.model, settings.projector, None)
    with LlamaEngine(bundle, settings.opening(), progress) as engine:
        yield engine


def _work(channel: Channel, settings: WorkerSettings, open_engine: OpenEngine) -> None:
    """Answer requests until no more can come."""
    intake = Intake(channel)
    with open_engine(settings, Loading(channel.send)) as engine:
        intake.serve(engine)
        channel.send(Opened(engine.info.name, engine.info.identity))
        loader = Loader(engine.info, settings, intake.requests, channel.send)
        tally = Tally()
        jobs = _jobs(settings, loader, tally, intake)
        n_parallel, jobs = _parallel(settings, engine, jobs)
        channel.send(Parallel(n_parallel))
        loader.run_at_once(n_parallel)
        watch = StepReports(channel.send)
        beat(channel.send, encoder_steps)
        for result in engine.generate_many(jobs, n_parallel=n_parallel, watch=watch):
            outcome = tally.add(result)
            if outcome is not None and not intake.ended:
                channel.send(outcome)


def _jobs(settings: WorkerSettings, loader: Loader, tally: Tally, intake: Intake) -> _Jobs:
    """Give a job for each prompt of each file, None while none is ready."""
    options = settings.options_of_prompts()
    while not intake.ended:
        loaded = loader.take()
        if loaded is None:
            yield None
            continue
        tally.expect(loaded)
        for index, asked in enumerate(loaded.asked):
            yield Job((loaded.request.number, index), asked.parts, options[index])


def _parallel(settings: WorkerSettings, engine: Engine, jobs: _Jobs) -> tuple[int, _Jobs]:
    """Give how many sequences to run at once, and all of `jobs`; measuring takes the first of them."""
    if settings.n_parallel is not None:
        return settings.n_parallel, jobs
    for job in jobs:
        if job is not None:
            return engine.choose_parallel(job), chain([job], jobs)
        time.sleep(_POLL_S)
    return 1, jobs


def _kind(error: EdgeError | MemoryError) -> FaultKind:
    match error:
        case UsageError():
            return "usage"
        case GGUFError():
            return "files"
    return "memory" if isinstance(error, MemoryError) or _MEMORY.search(str(error)) else "engine"


if __name__ == "__main__":
    sys.exit(main(open_llama))
