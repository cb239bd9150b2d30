"""Tensors of a GGUF file as a source: read in rows as they stand there, dequantized where they must be."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, row_ranges
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.gguf_info import GGUFTensor
from qwen3vl_edge.quant.native import are_sound, dequantize_rows

__all__ = ["FLOATS", "GGUFSource"]

FLOATS = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
"""Types that are no blocks -> how numpy holds them."""


@dataclass(frozen=True, slots=True)
class GGUFSource:
    """One tensor of a GGUF file."""

    tensor: GGUFTensor

    def name_of(self, row: int) -> str:
        """Return the tensor's name, whatever the row."""
        return self.tensor.name

    @property
    def dtype(self) -> str:
        """Return the type of what `decode` gives: the stored one, F32 for blocks."""
        return self.tensor.type_name if self.tensor.type_name in FLOATS else "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the row-major shape."""
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        """Return the bytes in the file."""
        return self.tensor.nbytes

    def ranges(self, limit_bytes: int) -> Iterator[tuple[int, int]]:
        """Cut the first dimension into ranges of about `limit_bytes` in the file, or of one row.

        A vector of blocks is one range: its rows are single values, which a block has many of.
        """
        if len(self.shape) == 1 and self.tensor.type_name not in FLOATS:
            limit_bytes = self.nbytes
        return row_ranges(self.shape[0], self.nbytes, limit_bytes)

    def read(self, start: int, stop: int) -> Stored:
        """Read rows `start` to `stop` of the first dimension: floats shaped, blocks as uint8 in a row.

        Raises:
            GGUFError: the file cannot be read, has become shorter, or holds blocks without meaning.
        """
        raw = self._bytes(start, stop)
        if self.tensor.type_name in FLOATS:
            return raw.view(FLOATS[self.tensor.type_name]).reshape(stop - start, *self.shape[1:])
        if not are_sound(raw, self._kind):
            raise GGUFError(
                f"{self.tensor.path}: {self.tensor.name!r} has NaN or infinite scales; the file is damaged, "
                "fetch or make it again"
            )
        return raw

    def decode(self, stored: Stored) -> Stored:
        """Return the values of what `read` gave, shaped, in `dtype`."""
        if self.tensor.type_name in FLOATS:
            return stored
        return dequantize_rows(stored.view(np.uint8), self._kind).reshape(-1, *self.shape[1:])

    def _bytes(self, start: int, stop: int) -> NDArray[np.uint8]:
        first, end = (row * self.nbytes // self.shape[0] for row in (start, stop))
        raw = np.empty(end - first, np.uint8)
        try:
            with self.tensor.path.open("rb") as file:
                file.seek(self.tensor.offset + first)
                got = file.readinto(raw.data)
        except OSError as failure:
            raise GGUFError(
                f"{self.tensor.path}: {self.tensor.name!r} cannot be read ({failure.strerror})"
            ) from failure
        if got != raw.size:
            raise GGUFError(f"{self.tensor.path}: the file ended within {self.tensor.name!r}")
        return raw

    @property
    def _kind(self) -> TensorType:
        return TYPES_BY_NAME[self.tensor.type_name]
