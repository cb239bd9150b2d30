"""Several downloads at a time, in threads that Ctrl-C need not wait for."""

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread

__all__ = ["run_all"]

_PATIENCE_SECONDS = 0.5


def run_all(jobs: Sequence[Callable[[Event], None]], n_threads: int) -> None:
    """Run `jobs`, `n_threads` at a time, in their order; each gets an event that asks it to stop.

    The first failure is raised and stops the others, and so does an interrupt of the caller. A thread
    that waits for a silent hub hears nothing before its timeout: it is left behind, ends then, and does
    not keep the process alive, which is why this is no ThreadPoolExecutor.
    """
    stop = Event()
    todo: SimpleQueue[Callable[[Event], None]] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    for job in jobs:
        todo.put(job)
    threads = [
        Thread(target=_work, args=(todo, ended, stop), daemon=True) for _ in range(min(n_threads, len(jobs)))
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            if failure := ended.get():
                raise failure
    finally:
        stop.set()
        limit = time.monotonic() + _PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))


def _work(
    todo: SimpleQueue[Callable[[Event], None]], ended: SimpleQueue[BaseException | None], stop: Event
) -> None:
    while not stop.is_set():
        try:
            job = todo.get_nowait()
        except Empty:
            return
        try:
            job(stop)
        except BaseException as failure:  # the caller raises it
            ended.put(failure)
            stop.set()
        else:
            ended.put(None)
