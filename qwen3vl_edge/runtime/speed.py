"""How fast a model is: reading, writing, and looking at a picture."""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from qwen3vl_edge.images import VisionPart
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Speed", "measure_speed"]

_N_PROMPT, _N_ANSWER, _N_ROUNDS = 512, 32, 3
_SIDE_PX = 384


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of three rounds.

    ``prefill`` and ``decode`` are tokens a second, of 512 read at once and of 32 one after the other;
    ``encode_s`` is seconds for a picture of 384 × 384 px (144 tokens).
    """

    prefill: float
    decode: float
    encode_s: float


def measure_speed(bench: Workbench) -> Speed:
    """Measure an open pair of files, with whatever else the machine has to do meanwhile.

    Raises:
        ContextFullError, Cancelled, EngineError: As for `Engine.generate`.
    """
    sequence = bench.take_sequence()
    try:
        rounds = [_round(bench, sequence, seed) for seed in range(_N_ROUNDS)]
    finally:
        bench.empty(sequence, 0)
        bench.give_back(sequence)
    columns = zip(*rounds, strict=True)
    prefill_s, decode_s, encode_s = (median(column) for column in columns)
    n_prompt = min(_N_PROMPT, bench.limit - _N_ANSWER)
    return Speed(n_prompt / prefill_s, _N_ANSWER / decode_s, encode_s)


def _round(bench: Workbench, sequence: int, seed: int) -> tuple[float, float, float]:
    """Give the seconds for reading, writing and encoding; tokens and pixels are noise of `seed`."""
    noise = np.random.default_rng(seed)
    n_prompt = min(_N_PROMPT, bench.limit - _N_ANSWER)
    tokens = noise.integers(0, bench.model.n_vocab, n_prompt + _N_ANSWER).tolist()
    context = bench.context(len(tokens))
    bench.empty(sequence, 0)
    started = time.perf_counter()
    for start in range(0, n_prompt, context.n_batch):
        piece = tokens[start : min(start + context.n_batch, n_prompt)]
        context.read_tokens(piece, sequence, start)
    context.wait()
    read = time.perf_counter()
    for position in range(n_prompt, len(tokens)):
        context.read_tokens([tokens[position]], sequence, position)
        context.wait()
    written = time.perf_counter()
    # noise that no cache holds: neither ours nor one on the disk
    pixels = np.random.default_rng().integers(0, 256, (_SIDE_PX, _SIDE_PX, 3), np.uint8)
    bench.encode(VisionPart.of((pixels,)))
    return read - started, written - read, time.perf_counter() - written
