"""The real worker and llama.cpp under bad conditions: ``hostile_worker.py N_PICTURES``.

The process aborts, as llama.cpp's own assertions have it, when it is about to encode its Nth picture; and
files whose names begin with ``vanish`` are gone when they are about to be read.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from qwen3vl_edge.captions import loading
from qwen3vl_edge.captions.loading import Loaded
from qwen3vl_edge.captions.values import Request
from qwen3vl_edge.captions.worker import main, open_llama
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.runtime.engine import Engine, EngineInfo
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch, nothing

K = TypeVar("K")


class Mortal:
    """An engine that aborts over the Nth picture, whichever that is."""

    def __init__(self, engine: Engine, n_pictures: int) -> None:
        self._engine, self._left = engine, n_pictures
        self.info, self.cancel = engine.info, engine.cancel

    def choose_parallel(self, job: Job[K]) -> int:
        return self._engine.choose_parallel(job)

    def generate_many(
        self, jobs: Iterator[Job[K] | None], *, n_parallel: int, watch: Watch[K] = nothing
    ) -> Iterator[Completed[K] | Refused[K]]:
        def watched(step: Step[K]) -> None:
            watch(step)
            if step.kind == "encode":
                self._left -= 1
                if self._left == 0:
                    os.write(2, b"clip.cpp:1: GGML_ASSERT(n_pictures < 25) failed\n")
                    os.abort()

        return self._engine.generate_many(jobs, n_parallel=n_parallel, watch=watched)


@contextmanager
def open_mortal(settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
    """Open the model with llama.cpp."""
    with open_llama(settings, progress) as engine:
        yield Mortal(engine, int(sys.argv[1]))  # type: ignore[misc]


def _load_what_is_left(request: Request, info: EngineInfo, settings: WorkerSettings) -> Loaded:
    if request.path.name.startswith("vanish"):
        request.path.unlink(missing_ok=True)
    return _load(request, info, settings)


_load = loading.load

if __name__ == "__main__":
    loading.load = _load_what_is_left  # type: ignore[assignment]
    sys.exit(main(open_mortal))
