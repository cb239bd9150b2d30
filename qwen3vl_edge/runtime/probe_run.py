"""Runs the probe model through llama.cpp by a fixed schedule and returns all logits: the child's native half.

Importing this module loads the native libraries, which is what may crash: only `selftest` does so.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import llama_cpp.llama_cpp as native
import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.probe_model import N_VOCAB

__all__ = ["Batch", "probe_logits", "schedule"]

N_PREFILL = 33  # one more than two AMX tiles of 16 rows, so the remainder path runs as well
N_SEQUENCES = 8
N_SINGLE = 4


@dataclass(frozen=True)
class Batch:
    """Tokens decoded together; `sequences[i]` and `positions[i]` say where `tokens[i]` goes."""

    tokens: Sequence[int]
    positions: Sequence[int]
    sequences: Sequence[int]


def schedule(n_at_once: int, seed: int = 0) -> list[Batch]:
    """Plan a prompt in pieces of `n_at_once` tokens, then one token a sequence, then single tokens.

    Tokens are fixed beforehand, so that a rounding difference cannot send two runs different ways.
    """
    tokens = np.random.default_rng(seed).integers(0, N_VOCAB, N_PREFILL + N_SEQUENCES + N_SINGLE).tolist()
    prompt, forks, singles = np.split(tokens, [N_PREFILL, N_PREFILL + N_SEQUENCES])
    pieces = [range(at, min(at + n_at_once, N_PREFILL)) for at in range(0, N_PREFILL, n_at_once)]
    batches = [Batch([int(prompt[i]) for i in piece], piece, [0] * len(piece)) for piece in pieces]
    batches.append(Batch([int(t) for t in forks], [N_PREFILL] * N_SEQUENCES, range(N_SEQUENCES)))
    batches += [Batch([int(t)], [N_PREFILL + 1 + i], [0]) for i, t in enumerate(singles)]
    return batches


def probe_logits(
    path: Path, *, extra_buffers: bool, n_at_once: int = N_PREFILL, n_threads: int = 1
) -> NDArray[np.float32]:
    """Logits of every token of the schedule, on the CPU alone: (45, vocabulary), in the order of the tokens.

    More threads are slow here when the machine is busy: each of these tiny steps waits for all of them.

    Raises:
        EngineError: llama.cpp refused the model, the context or a batch.
    """
    with _context(path, extra_buffers, n_threads) as context:
        batches = schedule(n_at_once)
        return np.concatenate([_decode(context, batch) for batch in batches])


@contextmanager
def _context(path: Path, extra_buffers: bool, n_threads: int) -> Iterator[native.llama_context_p]:
    no_devices = (ctypes.c_void_p * 1)(None)  # an empty list: GPUs stay out of it
    options = native.llama_model_default_params()
    options.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    options.n_gpu_layers = 0
    options.use_extra_bufts = extra_buffers
    model = native.llama_model_load_from_file(os.fsencode(path), options)
    if not model:
        raise EngineError("llama.cpp does not load the probe model")
    try:
        context = native.llama_init_from_model(model, _context_options(n_threads))
        if not context:
            raise EngineError("llama.cpp does not open a context for the probe model")
        try:
            yield context
        finally:
            native.llama_free(context)
    finally:
        native.llama_model_free(model)


def _context_options(n_threads: int) -> native.llama_context_params:
    options: native.llama_context_params = native.llama_context_default_params()
    options.n_ctx = 256  # cells, shared by all sequences
    options.n_batch = options.n_ubatch = 64
    options.n_seq_max = N_SEQUENCES
    options.kv_unified = True
    options.n_threads = options.n_threads_batch = n_threads
    return options


def _decode(context: native.llama_context_p, batch: Batch) -> NDArray[np.float32]:
    """Logits of one batch: (tokens, vocabulary)."""
    if len(set(batch.sequences)) > 1:
        _fork(context, batch)
    n_tokens = len(batch.tokens)
    holder = native.llama_batch_init(n_tokens, 0, 1)
    try:
        holder.n_tokens = n_tokens
        for i, (token, position, sequence) in enumerate(
            zip(batch.tokens, batch.positions, batch.sequences, strict=True)
        ):
            holder.token[i], holder.pos[i] = token, position
            holder.n_seq_id[i], holder.seq_id[i][0] = 1, sequence
            holder.logits[i] = 1
        status = native.llama_decode(context, holder)
    finally:
        native.llama_batch_free(holder)
    if status != 0:
        raise EngineError(f"llama_decode failed on the probe model with status {status}")
    rows = native.llama_get_logits(context)
    return np.ctypeslib.as_array(rows, shape=(n_tokens, N_VOCAB)).copy()


def _fork(context: native.llama_context_p, batch: Batch) -> None:
    memory = native.llama_get_memory(context)
    for sequence in batch.sequences:
        if sequence != 0:
            native.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
