"""The real worker and llama.cpp, but that requests can be poison: ``poisoned_worker.py NUMBER…``.

The process aborts, as llama.cpp's own assertions have it, when one of them is about to be encoded.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from qwen3vl_edge.captions.worker import main, open_llama
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.runtime.engine import Engine
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch, nothing

K = TypeVar("K")


class Poisoned:
    """An engine that aborts over some jobs."""

    def __init__(self, engine: Engine, poison: frozenset[int]) -> None:
        self._engine, self._poison = engine, poison
        self.info, self.cancel = engine.info, engine.cancel

    def choose_parallel(self, job: Job[K]) -> int:
        return self._engine.choose_parallel(job)

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        def watched(step: Step[K]) -> None:
            watch(step)
            if step.kind == "encode" and any(key[0] in self._poison for key in step.keys):
                os.write(2, b"clip.cpp:1: GGML_ASSERT(picture is wholesome) failed\n")
                os.abort()

        return self._engine.generate_many(jobs, n_parallel=n_parallel, watch=watched)


@contextmanager
def open_poisoned(settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
    """Open the model with llama.cpp."""
    with open_llama(settings, progress) as engine:
        yield Poisoned(engine, frozenset(map(int, sys.argv[1:])))  # type: ignore[misc]


if __name__ == "__main__":
    sys.exit(main(open_poisoned))
