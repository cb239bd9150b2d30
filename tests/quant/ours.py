"""Our own quantizer without its writer: choices, then bytes, in memory."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.quant import (
    Choice,
    FileType,
    ModelTraits,
    SourceTensor,
    Wishes,
    choose_types,
    quantize_rows,
)
from qwen3vl_edge.quant.parts import why_kept
from tests.quant.oracle import Quantized
from tests.quant.tiny_gguf import Tensors

__all__ = ["Imatrix", "choose", "listing", "make_imatrix", "run_ours"]

Imatrix = Mapping[str, NDArray[np.float32]]


def listing(tensors: Tensors) -> list[SourceTensor]:
    return [(name, values.shape, TYPES_BY_NAME["F32"]) for name, values in tensors.items()]


def make_imatrix(tensors: Tensors, seed: int = 1) -> Imatrix:
    """Draw one importance per column, and per expert, of every tensor that is quantized."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.random((*values.shape[:-2], values.shape[-1]), dtype=np.float32) + np.float32(0.01)
        for name, values in tensors.items()
        if why_kept(name, values.shape) is None
    }


def choose(
    tensors: Tensors, file_type: FileType, traits: ModelTraits, wishes: Wishes, *, has_imatrix: bool
) -> dict[str, Choice]:
    return choose_types(listing(tensors), file_type, traits, wishes, has_imatrix=has_imatrix)


def run_ours(tensors: Tensors, choices: Mapping[str, Choice], imatrix: Imatrix | None) -> Quantized:
    """Quantize every tensor, many at a time."""
    with ThreadPoolExecutor(4) as pool:
        packed = {
            name: pool.submit(_pack, values, choices[name].kind, (imatrix or {}).get(name))
            for name, values in tensors.items()
        }
    return {name: (choices[name].kind.name, future.result()) for name, future in packed.items()}


def _pack(values: NDArray[np.float32], kind: TensorType, importance: NDArray[np.float32] | None) -> bytes:
    if kind.name == "F32":
        return values.tobytes()
    matrices = values.reshape(-1, *values.shape[-2:])
    weights = [None] * len(matrices) if importance is None else importance.reshape(len(matrices), -1)
    return b"".join(
        quantize_rows(matrix, kind, weight).tobytes()
        for matrix, weight in zip(matrices, weights, strict=True)
    )
