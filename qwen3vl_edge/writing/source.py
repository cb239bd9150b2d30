"""Where the values of a tensor come from, and which part of them it takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qwen3vl_edge.checkpoint import Stored

__all__ = ["Cut", "Source"]


class Source(Protocol):
    """Values that are read in ranges of the first dimension; equal sources hash alike."""

    def name_of(self, row: int) -> str:
        """Return what errors call the tensor that holds this row of the first dimension."""

    @property
    def dtype(self) -> str:
        """F32, F16 or BF16: of the values that `decode` gives."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Row-major."""

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""

    def ranges(self, limit_bytes: int) -> Iterator[tuple[int, int]]:
        """Cut the first dimension into ranges of about `limit_bytes` as stored, or of one row."""

    def read(self, start: int, stop: int) -> Stored:
        """Read rows `start` to `stop` of the first dimension as they are stored."""

    def decode(self, stored: Stored) -> Stored:
        """Return the values of what `read` gave, shaped, in `dtype`."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of the source's values a tensor takes: an index, then the last two axes swapped or not.

    The first axis is never cut, so that a block of the source's rows gives a block of the tensor's.
    `zero_columns` are added at the end of the last axis.
    """

    index: tuple[int | slice, ...] = ()
    transposed: bool = False
    zero_columns: int = 0

    def of(self, values: Stored) -> Stored:
        """Take the part, contiguous; without a cut, `values` themselves."""
        part = values[(slice(None), *self.index)]
        part = np.ascontiguousarray(part.swapaxes(-1, -2) if self.transposed else part)
        if self.zero_columns:
            return np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, self.zero_columns)])
        return part
