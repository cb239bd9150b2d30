"""What tensors of a GGUF file are made from: one tensor of a checkpoint, or several, FP8 dequantized."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, TensorRef, row_ranges, to_float32

__all__ = ["CheckpointSource", "dequantize_fp8", "e4m3_values"]


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """One tensor of the checkpoint, or where `stacked` one for each expert, along a new first axis.

    `scales` are there for FP8 tensors only, one for each of `refs`: a scale for each block of
    `fp8_block` (rows, columns) values.
    """

    refs: tuple[TensorRef, ...]
    stacked: bool = False
    scales: tuple[TensorRef, ...] = ()
    fp8_block: tuple[int, int] = (1, 1)

    def name_of(self, row: int) -> str:
        """Return the name of the tensor that holds this row of the first dimension, and of its scales."""
        i = row if self.stacked else 0
        return f"{self.refs[i].name} with {self.scales[i].name}" if self.scales else self.refs[i].name

    @property
    def dtype(self) -> str:
        """Return the safetensors dtype of what `read` gives: FP8 comes as F32."""
        return "F32" if self.scales else self.refs[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the row-major shape."""
        shape = self.refs[0].shape
        return (len(self.refs), *shape) if self.stacked else shape

    @property
    def nbytes(self) -> int:
        """Return the bytes in the checkpoint, without the scales."""
        return sum(ref.nbytes for ref in self.refs)

    def ranges(self, limit_bytes: int) -> Iterator[tuple[int, int]]:
        """Cut the first dimension into ranges of about `limit_bytes` in the checkpoint, or of one row."""
        return row_ranges(self.shape[0], self.nbytes, limit_bytes)

    def read(self, start: int, stop: int) -> Stored:
        """Read rows `start` to `stop` of the first dimension, shaped, in `dtype`.

        Raises:
            CheckpointError: The file cannot be read or has become shorter.
        """
        if self.stacked:
            return np.stack([self._read_whole(i) for i in range(start, stop)])
        stored = self.refs[0].rows(start, stop)
        if not self.scales:
            return stored
        scale = self.scales[0]
        if len(self.shape) > 2:  # each row of the first dimension has blocks of its own
            return dequantize_fp8(stored, _float32(scale, start, stop), self.fp8_block)
        side = self.fp8_block[0]
        scales = _float32(scale, start // side, -(-stop // side))
        return dequantize_fp8(stored, scales, self.fp8_block, first_row=start % side)

    def decode(self, stored: Stored) -> Stored:
        """Return what `read` gave: FP8 is dequantized there, with the scales of its rows."""
        return stored

    def _read_whole(self, i: int) -> Stored:
        if not self.scales:
            return self.refs[i].read()
        return dequantize_fp8(self.refs[i].read(), self.scales[i].float32(), self.fp8_block)


def dequantize_fp8(
    stored: Stored, scales: NDArray[np.float32], block: tuple[int, int], first_row: int = 0
) -> NDArray[np.float32]:
    """Multiply each E4M3 value by the scale of its block, in float32.

    That is what transformers 5.23 (integrations/finegrained_fp8.py, ``Fp8Dequantize``) and llama.cpp's
    converter (``dequant_simple`` in conversion/base.py, 0c1e57098) do.

    Args:
        stored: uint8, (..., rows, columns).
        scales: (..., row blocks, column blocks).
        block: Rows and columns of a block.
        first_row: Row of the first block with which `stored` begins.
    """
    n_rows, n_columns = stored.shape[-2:]
    rows = scales[..., (np.arange(n_rows) + first_row) // block[0], :]
    spread = np.repeat(rows, block[1], axis=-1)[..., :n_columns]
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name later
        np.multiply(e4m3_values()[stored], spread, out=spread)
    return spread


@cache
def e4m3_values() -> NDArray[np.float32]:
    """Return the 256 values of E4M3FN: 4 bits of exponent, bias 7, 3 of mantissa, no infinity, NaN at 0x7F.

    Source: "FP8 Formats for Deep Learning" (arXiv 2209.05433), table 1.
    """
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, (code & 7) / 8
    magnitude = np.where(exponent == 0, mantissa * 2.0**-6, (1 + mantissa) * 2.0 ** (exponent - 7.0))
    magnitude[code & 0x7F == 0x7F] = np.nan
    return np.where(code < 128, magnitude, -magnitude).astype(np.float32)


def _float32(ref: TensorRef, start: int, stop: int) -> NDArray[np.float32]:
    return to_float32(ref.rows(start, stop), ref.dtype)
