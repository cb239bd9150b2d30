"""Values that must not get into a file: NaN, infinity, and what a type cannot hold."""

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, to_float32
from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.writing.overflows import overflow_of
from qwen3vl_edge.writing.source import Source

__all__ = ["Faults", "largest_magnitude"]


class Faults:
    """What was found wrong with values so far, by several threads.

    Once something is wrong, nothing passes any more: the rest is looked at only to name all of it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._not_finite: dict[str, tuple[int, int]] = {}
        self._too_large: dict[tuple[str, str], float] = {}

    def passes(self, source: Source, first_row: int, stored: Stored, kinds: Sequence[TensorType]) -> bool:
        """Look at values of `source` from row `first_row` on; whether they may be written as `kinds`."""
        largest = largest_magnitude(stored, source.dtype)
        if not np.isfinite(largest):
            self._note_not_finite(source, first_row, to_float32(stored, source.dtype))
        for kind in {kind.name for kind in kinds}:
            if np.isfinite(largest) and largest >= overflow_of(kind):
                key = source.name_of(first_row), kind
                with self._lock:
                    self._too_large[key] = max(self._too_large.get(key, 0.0), largest)
        return not self._found()

    def raise_if_any(self) -> None:
        """End the conversion if anything was found.

        Raises:
            CheckpointError: tensors and counts.
        """
        problems = [
            f"{name!r:.120} holds {n_nan} NaN and {n_infinite} infinite values"
            for name, (n_nan, n_infinite) in sorted(self._not_finite.items())
        ]
        if problems:
            problems[-1] += "; the source is damaged, fetch or make it again"
        problems += [
            f"{name!r:.120} holds {largest:.3g}, more than {kind} can; choose bf16 or f32"
            for (name, kind), largest in sorted(self._too_large.items())
        ]
        if problems:
            raise CheckpointError(join_problems(problems))

    def _found(self) -> bool:
        return bool(self._not_finite or self._too_large)

    def _note_not_finite(self, source: Source, first_row: int, values: NDArray[np.float32]) -> None:
        for row, row_values in enumerate(values, start=first_row):
            n_nan, n_infinite = int(np.isnan(row_values).sum()), int(np.isinf(row_values).sum())
            if n_nan or n_infinite:
                name = source.name_of(row)
                with self._lock:
                    before = self._not_finite.get(name, (0, 0))
                    self._not_finite[name] = (before[0] + n_nan, before[1] + n_infinite)


def largest_magnitude(stored: Stored, dtype: str) -> float:
    """Return the largest absolute value of `stored`, infinity or NaN if there is one among them."""
    # the bits of floats without their sign are in the order of their magnitudes, NaN last
    if dtype == "F32":
        largest = np.max(stored.view(np.uint32) & np.uint32(0x7FFFFFFF))
        return float(largest.view(np.float32))
    largest = np.max(stored.view(np.uint16) & np.uint16(0x7FFF))
    return float(to_float32(np.array([largest.view(stored.dtype)]), dtype)[0])
