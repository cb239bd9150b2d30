"""Tensors of a GGUF file as a source: read in rows, dequantized where they must be."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qwen3vl_edge.checkpoint import Stored, row_ranges
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.gguf_info import GGUFTensor
from qwen3vl_edge.quant.native import dequantize_rows

__all__ = ["GGUFSource"]

_STORED = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass(frozen=True, slots=True)
class GGUFSource:
    """One tensor of a GGUF file; `as_is` gives the blocks of a quantized one, else they are dequantized."""

    tensor: GGUFTensor
    as_is: bool = False

    def name_of(self, row: int) -> str:
        """Return the tensor's name, whatever the row."""
        return self.tensor.name

    @property
    def dtype(self) -> str:
        """Return what `read` gives: the stored type, F32 for blocks that are dequantized."""
        kind = self.tensor.type_name
        return kind if kind in _STORED or self.as_is else "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the row-major shape."""
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        """Return the bytes in the file."""
        return self.tensor.nbytes

    def ranges(self, limit_bytes: int) -> Iterator[tuple[int, int]]:
        """Cut the first dimension into ranges of about `limit_bytes` in the file, or of one row."""
        return row_ranges(self.shape[0], self.nbytes, limit_bytes)

    def read(self, start: int, stop: int) -> Stored:
        """Read rows `start` to `stop` of the first dimension, in `dtype`; blocks as they are have no shape.

        Raises:
            GGUFError: the file cannot be read or has become shorter.
        """
        row_bytes = self.nbytes // self.shape[0]
        raw = np.empty((stop - start) * row_bytes, np.uint8)
        try:
            with self.tensor.path.open("rb") as file:
                file.seek(self.tensor.offset + start * row_bytes)
                got = file.readinto(raw.data)
        except OSError as failure:
            raise GGUFError(
                f"{self.tensor.path}: {self.tensor.name!r} cannot be read ({failure.strerror})"
            ) from failure
        if got != raw.size:
            raise GGUFError(f"{self.tensor.path}: the file ended within {self.tensor.name!r}")
        shape = (stop - start, *self.shape[1:])
        if self.dtype == "F32" and self._kind.name != "F32":
            return dequantize_rows(raw, self._kind).reshape(shape)
        return raw if self.as_is else raw.view(_STORED[self.dtype]).reshape(shape)

    @property
    def _kind(self) -> TensorType:
        return TYPES_BY_NAME[self.tensor.type_name]
