"""What each type costs each tensor: the error of its output, measured on sampled rows.

Of a tensor W whose inputs have the mean squares d (the importance matrix), written as V,

    E = sum_ij d_j (V_ij - W_ij)^2 / sum_ij d_j W_ij^2,

which is E|(V - W) x|^2 / E|W x|^2 where the components of x do not correlate. llama.cpp's pull request 15550
(``--target-bpw``) weighs errors by the matrix likewise. Without a matrix d is 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.allocation.sampling import Sample, sample_rows, sampled_bytes
from qwen3vl_edge.quant.gguf_source import FLOATS
from qwen3vl_edge.quant.native import dequantize_rows, quantize_rows
from qwen3vl_edge.quant.typed import Material
from qwen3vl_edge.writing.in_order import Job, in_order
from qwen3vl_edge.writing.overflows import overflow_of

__all__ = ["Errors", "Trial", "measure_errors"]

_BUDGET_BYTES_PER_THREAD = 64 << 20

Errors = Mapping[str, Mapping[str, float]]
"""Tensor -> type -> relative squared error of the output; types that cannot hold the values are not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A tensor and the types to try; `importance` is (experts or 1, row length) float32."""

    material: Material
    kinds: Sequence[TensorType]
    importance: NDArray[np.float32] | None = None


def measure_errors(trials: Sequence[Trial], n_threads: int, progress: Progress = SILENT) -> Errors:
    """Measure all of `trials` in threads; a few tensors' sampled rows are in memory at a time.

    Raises:
        CheckpointError, GGUFError: a source cannot be read.
        EngineError: values are NaN or infinite; of which tensor.
    """
    jobs = [Job(partial(_errors, trial), sampled_bytes(trial.material)) for trial in trials]
    errors: dict[str, Mapping[str, float]] = {}
    with progress.task("measuring errors", len(trials), "tensors") as task:
        found = in_order(jobs, n_threads, _BUDGET_BYTES_PER_THREAD * n_threads)
        for trial, measured in zip(trials, found, strict=True):
            errors[trial.material.name] = measured
            task.advance()
    return errors


def _errors(trial: Trial) -> dict[str, float]:
    """Measure one tensor; blocks that stay what they are lose nothing, and are not even read."""
    before = trial.material.before
    if before.name in FLOATS or before not in trial.kinds:
        return _measured(trial)
    others = [kind for kind in trial.kinds if kind != before]
    return {before.name: 0.0} | (_measured(replace(trial, kinds=others)) if others else {})


def _measured(trial: Trial) -> dict[str, float]:
    squared, power = dict.fromkeys((kind.name for kind in trial.kinds), 0.0), 0.0
    for sample in sample_rows(trial.material):
        importance = _of_expert(trial.importance, sample.expert)
        weights = np.ones(sample.rows.shape[-1]) if importance is None else importance.astype(np.float64)
        power += _weighted(sample.rows, weights)
        for kind, written in _written(trial, sample, importance):
            squared[kind.name] += np.inf if written is None else _weighted(written - sample.rows, weights)
    # zeros are written as zeros
    return {name: error / power if power else 0.0 for name, error in squared.items() if error < np.inf}


def _written(
    trial: Trial, sample: Sample, importance: NDArray[np.float32] | None
) -> Iterator[tuple[TensorType, NDArray[np.float32] | None]]:
    """Give the rows as each type holds them, or None where it cannot."""
    largest = float(np.abs(sample.rows).max(initial=0))
    for kind in trial.kinds:
        if np.isfinite(largest) and largest >= overflow_of(kind.name):
            yield kind, None
            continue
        try:
            yield kind, _there_and_back(sample.rows, kind, importance)
        except EngineError as failure:
            raise EngineError(f"{trial.material.name!r:.120}: {failure}") from failure


def _there_and_back(
    rows: NDArray[np.float32], kind: TensorType, importance: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Quantize and dequantize rows; zeros at their ends make them whole blocks, as in a padded file."""
    n_rows, n_columns = rows.shape
    missing = -n_columns % kind.block
    padded = np.pad(rows, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(rows)
    if missing and importance is not None:
        importance = np.pad(importance, (0, missing), mode="mean").astype(np.float32)
    back = dequantize_rows(quantize_rows(padded, kind, importance), kind)
    return back.reshape(n_rows, -1)[:, :n_columns]


def _of_expert(importance: NDArray[np.float32] | None, expert: int) -> NDArray[np.float32] | None:
    return None if importance is None else importance[expert if len(importance) > 1 else 0]


def _weighted(values: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Return the sum of squares, (rows, columns), each column counting as `weights` says."""
    return float((np.square(values, dtype=np.float64).sum(axis=0) * weights).sum())
