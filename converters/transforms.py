"""From stored values to the bytes of a GGUF tensor: pure functions on numpy arrays.

Each gives the bytes that llama.cpp's converter writes (conversion/base.py and gguf-py/gguf/quants.py,
0c1e57098), which goes through float32 for everything that is not float16.
"""

from collections.abc import Callable

import numpy as np
from gguf import GGMLQuantizationType, quants
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, to_float32

__all__ = ["convert_values", "temporal_slice"]

_BF16_QUIET_BIT = np.uint16(0x0040)
_BF16_ABS, _BF16_INF = np.uint16(0x7FFF), np.uint16(0x7F80)
_F32_QUIET_BIT = np.uint32(0x00400000)
_F32_ABS, _F32_INF = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000)


def temporal_slice(patch_embedding: Stored, frame: int) -> Stored:
    """Take one frame's kernel out of the patch embedding: (C, 3, 2, P, P) -> (C, 3, P, P), contiguous."""
    return np.ascontiguousarray(patch_embedding[:, :, frame])


def convert_values(stored: Stored, dtype: str, target: str) -> NDArray[np.uint8]:
    """Convert values of safetensors `dtype` (BF16, F16, F32) to the bytes of ggml type `target`.

    Args:
        stored: any shape; for Q8_0 the last dimension is a multiple of 32.
        dtype: the stored dtype; BF16 values are their 16 bits.
        target: F32, F16, BF16 or Q8_0.
    """
    if dtype == target == "BF16":
        return _bytes(_quiet_bf16(stored.view(np.uint16)))
    if dtype == target:
        return _bytes(stored)
    values = to_float32(stored, dtype)
    # Overflow to infinity (F16) and NaN (Q8_0) are what the reference writes too; no warning is due.
    with np.errstate(over="ignore", invalid="ignore"):
        return _bytes(_CASTS[target](values))


def _to_f32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _to_f16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    return values.astype(np.float16)


def _to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to nearest even; NaN becomes quiet (ggml_compute_fp32_to_bf16 in ggml/src/ggml-impl.h)."""
    bits = values.view(np.uint32)
    is_nan = (bits & _F32_ABS) > _F32_INF
    # cannot wrap: the largest bits that are not NaN are 0xFF800000
    rounded = (
        (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    ).astype(np.uint16)
    if is_nan.any():
        rounded[is_nan] = ((bits[is_nan] | _F32_QUIET_BIT) >> np.uint32(16)).astype(np.uint16)
    return rounded


def _to_q8_0(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    quantized: NDArray[np.uint8] = quants.quantize(values, GGMLQuantizationType.Q8_0)
    return quantized


def _quiet_bf16(bits: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Set the quiet bit of NaNs, as the way through float32 does; everything else stays as it is."""
    is_nan = (bits & _BF16_ABS) > _BF16_INF
    return np.where(is_nan, bits | _BF16_QUIET_BIT, bits) if is_nan.any() else bits


_CASTS: dict[str, Callable[[NDArray[np.float32]], Stored]] = {
    "F32": _to_f32,
    "F16": _to_f16,
    "BF16": _to_bf16,
    "Q8_0": _to_q8_0,
}


def _bytes(values: Stored) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
