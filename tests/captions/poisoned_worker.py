"""The real worker and llama.cpp, but that requests can be poison: ``poisoned_worker.py NUMBER…``.

The process aborts, as llama.cpp's own assertions have it, when one of them is about to be encoded.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qwen3vl_edge.captions.worker import main, open_llama
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.runtime.engine import Engine
from tests.captions.aborting_engine import AbortingEngine


@contextmanager
def open_poisoned(settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
    """Open the model with llama.cpp."""
    with open_llama(settings, progress) as engine:
        poison = frozenset(map(int, sys.argv[1:]))
        yield AbortingEngine(  # type: ignore[misc]
            engine,
            lambda step: step.kind == "encode" and any(key[0] in poison for key in step.keys),
            b"picture is wholesome",
        )


if __name__ == "__main__":
    sys.exit(main(open_poisoned))
