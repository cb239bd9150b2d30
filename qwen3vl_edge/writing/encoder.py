"""The seam between the writer and whoever knows how values become bytes."""

from collections.abc import Sequence
from typing import Protocol

from qwen3vl_edge.checkpoint import Stored
from qwen3vl_edge.writing.planned import PlannedTensor

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Makes the bytes of tensors; called from several threads at once."""

    def encode(
        self, part: Stored, dtype: str, tensors: Sequence[PlannedTensor], first_row: int
    ) -> list[memoryview]:
        """Encode rows of a tensor in the type of each of `tensors`, which are one tensor in several files.

        Args:
            part: Values as stored in `dtype` (F32, F16, BF16): rows of the first dimension, shaped.
            dtype: Of `part`.
            tensors: The same tensor with the type of each file.
            first_row: The number of the first of these rows.

        Returns:
            Bytes for each of `tensors`.
        """

    def error(self, tensor: PlannedTensor) -> float:
        """Return the relative RMS error of a tensor that was encoded, from samples; 0 if it is exact."""
