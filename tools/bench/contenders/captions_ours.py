"""This project: all pictures through the scheduler; 0 at once lets it choose."""

import time
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np

from qwen3vl_edge.ask import one_question
from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.images import load_picture
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.jobs import Completed, Job
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY
from tools.bench.contenders.captions_run import N_NEW, PROMPT, Captions, caption_all
from tools.bench.conversation import N_THREADS
from tools.bench.results import Captioned

_MOST = 32
_OPTIONS = GenerateOptions(GREEDY, max_tokens=N_NEW, ignore_end=True, loop_guard=False)


def contender(captions: Captions) -> Captioned:
    """Caption all; choosing how many at once counts."""
    settings = EngineSettings(n_threads=N_THREADS, n_parallel=captions.n_parallel or _MOST, cache_ram_bytes=0)
    with LlamaEngine(find_bundle(captions.model, captions.projector), settings) as engine:
        started = time.perf_counter()
        n_parallel = captions.n_parallel or engine.choose_parallel(next(_jobs(engine, captions)))
        chosen_s = time.perf_counter() - started
        results = list(engine.generate_many(_jobs(engine, captions), n_parallel=n_parallel))
        seconds = time.perf_counter() - started
    done = [one.finished for one in results if isinstance(one, Completed)]
    if len(done) != len(captions.pictures) or {one.tokens.generated for one in done} != {N_NEW}:
        raise RuntimeError("not every picture has its caption")
    _, encode_s, prefill_s, decode_s = np.sum([astuple(one.seconds) for one in done], axis=0).tolist()
    return Captioned(len(done), n_parallel, seconds, encode_s, prefill_s, decode_s, chosen_s)


def _jobs(engine: LlamaEngine, captions: Captions) -> Iterator[Job[str]]:
    for path in captions.pictures:
        messages = one_question([load_picture(path, engine.info.image_limits)], PROMPT)
        yield Job(path.name, engine.info.template.parts(messages), _OPTIONS)


if __name__ == "__main__":
    caption_all(contender)
