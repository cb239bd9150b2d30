"""The real worker and llama.cpp under bad conditions: ``hostile_worker.py N_PICTURES``.

The process aborts, as llama.cpp's own assertions have it, when it is about to encode its Nth picture; and
files whose names begin with ``vanish`` are gone when they are about to be read.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from qwen3vl_edge.captions import loading
from qwen3vl_edge.captions.loading import Loaded
from qwen3vl_edge.captions.values import Request
from qwen3vl_edge.captions.worker import main, open_llama
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.runtime.engine import Engine, EngineInfo
from tests.captions.aborting_engine import AbortingEngine


@contextmanager
def open_mortal(settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
    """Open the model with llama.cpp."""
    with open_llama(settings, progress) as engine:
        pictures = count(1)
        yield AbortingEngine(  # type: ignore[misc]
            engine,
            lambda step: step.kind == "encode" and next(pictures) == int(sys.argv[1]),
            b"n_pictures < 25",
        )


def _load_what_is_left(request: Request, info: EngineInfo, settings: WorkerSettings) -> Loaded:
    if request.path.name.startswith("vanish"):
        request.path.unlink(missing_ok=True)
    return _load(request, info, settings)


_load = loading.load

if __name__ == "__main__":
    loading.load = _load_what_is_left  # type: ignore[assignment]
    sys.exit(main(open_mortal))
