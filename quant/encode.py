"""Values as stored to the bytes of any ggml type: float casts here, blocks by ggml's own code."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, to_float32
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.quant.native import error_and_power, quantize_rows
from qwen3vl_edge.writing.planned import PlannedTensor

__all__ = ["QuantEncoder"]

_SAMPLED_VALUES = 1 << 16
"""Of each block (some two million values), so many of its first tell how large the error of the tensor is."""


@dataclass(slots=True)
class _Sums:
    """Over the values looked at so far."""

    squared_errors: float = 0.0
    squares: float = 0.0


class QuantEncoder:
    """Encodes tensors in any type and measures, in passing, what that costs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sums: dict[tuple[str, str], _Sums] = {}

    def encode(
        self, part: Stored, dtype: str, tensors: Sequence[PlannedTensor], first_row: int
    ) -> list[memoryview]:
        """Encode rows of one tensor in the type of each of `tensors`; see `writing.encoder.Encoder`.

        Raises:
            EngineError: a type cannot hold the values; which tensor.
        """
        made: dict[tuple[str, int], memoryview] = {}
        values: NDArray[np.float32] | None = None
        for tensor in tensors:
            key = (tensor.kind.name, id(tensor.importance))
            if key in made:
                continue
            if tensor.kind.name == dtype:
                made[key] = _bytes(part)
                continue
            values = to_float32(part, dtype) if values is None else values
            packed = _packed(values, tensor, first_row)
            self._measure(tensor, values, packed)
            made[key] = _bytes(packed)
        return [made[tensor.kind.name, id(tensor.importance)] for tensor in tensors]

    def error(self, tensor: PlannedTensor) -> float:
        """Return the relative RMS error of a tensor that was encoded, from samples; 0 if it is exact."""
        sums = self._sums.get((tensor.name, tensor.kind.name))
        if sums is None or sums.squared_errors == 0:
            return 0.0
        return float(np.sqrt(sums.squared_errors / (sums.squares or sums.squared_errors)))

    def _measure(self, tensor: PlannedTensor, values: NDArray[np.float32], packed: NDArray[np.uint8]) -> None:
        row_len = tensor.shape[-1]
        n_values = max(_SAMPLED_VALUES // row_len, 1) * row_len
        original = values.reshape(-1)[:n_values]
        size = tensor.kind.nbytes((original.size // row_len, row_len))
        error, power = error_and_power(original, packed[:size], tensor.kind)
        with self._lock:
            sums = self._sums.setdefault((tensor.name, tensor.kind.name), _Sums())
            sums.squared_errors += error
            sums.squares += power


def _packed(values: NDArray[np.float32], tensor: PlannedTensor, first_row: int) -> NDArray[np.uint8]:
    """Encode rows, each expert with the importance of its own."""
    try:
        rows = values.reshape(-1, tensor.shape[-1])
        if tensor.importance is None or len(tensor.importance) == 1:
            importance = None if tensor.importance is None else tensor.importance[0]
            return quantize_rows(rows, tensor.kind, importance)
        experts = enumerate(values, start=first_row)
        return np.concatenate(
            [quantize_rows(expert, tensor.kind, tensor.importance[number]) for number, expert in experts]
        )
    except EngineError as failure:
        raise EngineError(f"{tensor.name!r:.120}: {failure}") from failure


def _bytes(values: NDArray[np.generic]) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
