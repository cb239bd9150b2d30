"""The real engine, but that it ends its process as llama.cpp's own assertions do."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from qwen3vl_edge.runtime.engine import Engine
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch, nothing

__all__ = ["AbortingEngine"]

K = TypeVar("K")


class AbortingEngine:
    """Aborts with the last words `complaint` when it is about to do a step that `is_last` of.

    What a worker calls is there, nothing else.
    """

    def __init__(self, engine: Engine, is_last: Callable[[Step[Any]], bool], complaint: bytes) -> None:
        self._engine, self._is_last, self._complaint = engine, is_last, complaint
        self.info, self.cancel = engine.info, engine.cancel

    def choose_parallel(self, job: Job[K]) -> int:
        return self._engine.choose_parallel(job)

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        def watched(step: Step[K]) -> None:
            watch(step)
            if self._is_last(step):
                os.write(2, b"clip.cpp:1: GGML_ASSERT(%s) failed\n" % self._complaint)
                os.abort()

        return self._engine.generate_many(jobs, n_parallel=n_parallel, watch=watched)
