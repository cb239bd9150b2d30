"""From stored values to the bytes of a GGUF tensor: pure functions on numpy arrays.

Each gives the bytes that llama.cpp's converter writes (conversion/base.py and gguf-py/gguf/quants.py,
0c1e57098), which goes through float32 for everything that is not float16.
"""

from collections.abc import Callable, Sequence

import numpy as np
from gguf import GGMLQuantizationType, quants
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import Stored, to_float32

__all__ = ["LARGEST", "convert_values", "largest_magnitude"]

LARGEST = {"F16": 65520.0, "BF16": 3.39617752923046e38, "Q8_0": 127 * 65520.0}
"""Magnitudes from which a type overflows: those that round to infinity, in Q8_0 as the scale of a block."""


def convert_values(stored: Stored, dtype: str, targets: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Convert values of safetensors `dtype` (BF16, F16, F32) to the bytes of each ggml type of `targets`.

    Args:
        stored: any shape; for Q8_0 the last dimension is a multiple of 32.
        dtype: the stored dtype; BF16 values are their 16 bits.
        targets: F32, F16, BF16 or Q8_0.
    """
    if all(target == dtype for target in targets):
        return [_bytes(stored) for _ in targets]
    values = to_float32(stored, dtype)
    return [_bytes(stored if target == dtype else _CASTS[target](values)) for target in targets]


def largest_magnitude(stored: Stored, dtype: str) -> float:
    """Return the largest absolute value of `stored`, infinity or NaN if there is one among them."""
    # the bits of floats without their sign are in the order of their magnitudes, NaN last
    if dtype == "F32":
        largest = np.max(stored.view(np.uint32) & np.uint32(0x7FFFFFFF))
        return float(largest.view(np.float32))
    largest = np.max(stored.view(np.uint16) & np.uint16(0x7FFF))
    return float(to_float32(np.array([largest.view(stored.dtype)]), dtype)[0])


def _to_f32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _to_f16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    return values.astype(np.float16)


def _to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite values to nearest even (ggml_compute_fp32_to_bf16 in ggml/src/ggml-impl.h)."""
    bits = values.view(np.uint32)
    # cannot wrap: the largest bits of a finite value are 0xFF7FFFFF
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def _to_q8_0(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    quantized: NDArray[np.uint8] = quants.quantize(values, GGMLQuantizationType.Q8_0)
    return quantized


_CASTS: dict[str, Callable[[NDArray[np.float32]], Stored]] = {
    "F32": _to_f32,
    "F16": _to_f16,
    "BF16": _to_bf16,
    "Q8_0": _to_q8_0,
}


def _bytes(values: Stored) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
