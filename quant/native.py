"""Rows of float32 <-> rows of any ggml type, through ggml's own code.

Source of the calls: ggml/include/ggml.h and ggml_quantize_chunk in ggml/src/ggml.c, llama.cpp 0c1e57098.
ctypes gives up the GIL for their duration and each row is quantized by itself: cut a tensor into rows as
you like and quantize them in as many threads as there are cores, the bytes are the same.
"""

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.paths import native_library
from qwen3vl_edge.quant.scales import scales_are_finite
from qwen3vl_edge.writing.overflows import overflow_of

__all__ = ["are_sound", "dequantize_rows", "error_and_power", "quantize_rows"]

# The searches compare squares of importance · value², summed over a block, in float32 too.
_LARGEST_WEIGHTED_SQUARE = 1e16


class _TypeTraits(ctypes.Structure):
    """The head of ``struct ggml_type_traits``."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


def quantize_rows(
    values: NDArray[np.float32], kind: TensorType, importance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Quantize whole rows as llama.cpp does.

    Args:
        values: (rows, row_len), row_len a multiple of `kind.block`.
        kind: one of `qwen3vl_edge.quant.file_types.TENSOR_TYPES`.
        importance: (row_len,), at least 0: how much an error in each column matters. Each expert has its
            own. IQ1_S, IQ2_XXS and IQ2_XS need one; a type that has no use for it passes over it.

    Returns:
        (rows * row_bytes,) packed blocks.

    Raises:
        ValueError: the shapes do not fit each other and `kind`, or `kind` needs an importance.
        EngineError: values are NaN, infinite or too large for `kind`, or the importance is none; the
            caller knows of which tensor.
    """
    row_len = values.shape[1]
    if not kind.fits(values.shape) or (importance is not None and importance.shape != (row_len,)):
        raise ValueError(f"rows of {row_len} do not fit {kind.name} or the importance")
    packed = np.empty(kind.nbytes(values.shape), np.uint8)
    if packed.size:
        _refuse_numbers(values, kind, importance)
        _quantize(np.ascontiguousarray(values, np.float32), kind, importance, packed)
    return packed


def dequantize_rows(packed: NDArray[np.uint8], kind: TensorType) -> NDArray[np.float32]:
    """Return what packed blocks of `kind`, uint8, stand for: float32, one dimension."""
    source = np.ascontiguousarray(packed)
    if kind.name == "F32":  # has no conversion
        return source.view(np.float32)
    values = np.empty(source.size // kind.block_bytes * kind.block, np.float32)
    traits = _ggml().ggml_get_type_traits(kind.id).contents
    traits.to_float(source.ctypes.data, values.ctypes.data, values.size)
    return values


def are_sound(packed: NDArray[np.uint8], kind: TensorType) -> bool:
    """Tell whether packed blocks of `kind`, uint8, are sound: their scales are numbers, by ggml's own look.

    That one writes to standard error what it finds, so that it is asked last.
    """
    if not scales_are_finite(packed, kind):
        return False
    blocks = np.ascontiguousarray(packed)
    return bool(_ggml().ggml_validate_row_data(kind.id, blocks.ctypes.data, blocks.nbytes))


def error_and_power(
    values: NDArray[np.float32], packed: NDArray[np.uint8], kind: TensorType
) -> tuple[float, float]:
    """Return the sums of the squared errors of `packed` and of the squares of `values` (any shape)."""
    original = values.reshape(-1).astype(np.float64)
    errors = dequantize_rows(packed, kind) - original
    # not errors @ errors: the threads of BLAS spin
    return float(np.square(errors).sum()), float(np.square(original).sum())


def _refuse_numbers(
    values: NDArray[np.float32], kind: TensorType, importance: NDArray[np.float32] | None
) -> None:
    """Refuse what quantizes to nonsense without a word, or aborts the process."""
    largest = float(np.maximum(values.max(), -values.min()))  # NaN if there is one
    if not np.isfinite(largest):
        raise EngineError("values are NaN or infinite; the source is damaged")
    if largest >= overflow_of(kind.name):
        raise EngineError(f"values up to {largest:.3g} are too large for {kind.name}; choose F32 or BF16")
    if importance is None:
        return
    # written so that NaN is refused
    if not (importance.min() >= 0 and 0 < importance.max() < np.inf):
        raise EngineError("importance is negative, not finite or 0 everywhere; make the matrix anew")
    if float(importance.max()) * largest**2 > _LARGEST_WEIGHTED_SQUARE:
        raise EngineError(f"importance up to {importance.max():.3g} is too large; divide the matrix by it")


def _quantize(
    values: NDArray[np.float32],
    kind: TensorType,
    importance: NDArray[np.float32] | None,
    packed: NDArray[np.uint8],
) -> None:
    """Fill `packed`; all arrays are contiguous."""
    ggml = _ggml()
    if importance is None and ggml.ggml_quantize_requires_imatrix(kind.id):
        raise ValueError(f"{kind.name} needs an importance")  # the call would abort the process
    weights = None if importance is None else np.ascontiguousarray(importance, np.float32)
    address = None if weights is None else weights.ctypes.data
    ggml.ggml_quantize_chunk(kind.id, values.ctypes.data, packed.ctypes.data, 0, *values.shape, address)
    if not are_sound(packed, kind):
        largest = float(np.abs(values).max())
        raise EngineError(f"values up to {largest:.3g} are too large for {kind.name}; choose F32 or BF16")


@cache
def _ggml() -> ctypes.CDLL:
    """Load ggml-base, once. It makes the tables of IQ1, IQ2 and IQ3 at their first use, under a lock."""
    ggml = ctypes.CDLL(str(native_library("ggml-base")))
    pointer, int64 = ctypes.c_void_p, ctypes.c_int64
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, int64, int64, int64, pointer]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_requires_imatrix.argtypes = [ctypes.c_int]
    ggml.ggml_quantize_requires_imatrix.restype = ctypes.c_bool
    ggml.ggml_validate_row_data.argtypes = [ctypes.c_int, pointer, ctypes.c_size_t]
    ggml.ggml_validate_row_data.restype = ctypes.c_bool
    ggml.ggml_get_type_traits.argtypes = [ctypes.c_int]
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(_TypeTraits)
    return ggml
