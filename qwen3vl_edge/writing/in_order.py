"""Runs jobs in several threads and gives their results in order, within a budget of memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Job", "in_order"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Job(Generic[Result]):
    """Something to do; `cost_bytes` is the memory that it and its result take."""

    run: Callable[[], Result]
    cost_bytes: int


def in_order(jobs: Iterable[Job[Result]], n_threads: int, budget_bytes: int) -> Iterator[Result]:
    """Give the results of `jobs` in their order.

    Jobs are begun ahead as long as all that are begun, and the result in the caller's hands, stay
    within `budget_bytes`; a single job may be larger. Whatever a job raises is raised in its place.
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="convert")
    begun: deque[tuple[Future[Result], int]] = deque()
    held_bytes = 0
    try:
        for job in jobs:
            while begun and held_bytes + job.cost_bytes > budget_bytes:
                yield begun[0][0].result()
                held_bytes -= begun.popleft()[1]
            begun.append((pool.submit(job.run), job.cost_bytes))
            held_bytes += job.cost_bytes
        while begun:
            yield begun[0][0].result()
            begun.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
