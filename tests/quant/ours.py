"""Our own quantizer without its writer: choices, then bytes by the encoder, in memory."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.ggml_types import TYPES_BY_NAME
from qwen3vl_edge.quant import (
    Choice,
    FileType,
    ModelTraits,
    SourceTensor,
    Wishes,
    choose_types,
)
from qwen3vl_edge.quant.encode import QuantEncoder
from qwen3vl_edge.quant.parts import why_kept
from qwen3vl_edge.writing.planned import PlannedTensor
from qwen3vl_edge.writing.source import Cut
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
    """Encode every tensor, many at a time, each in two blocks of rows."""
    encoder = QuantEncoder()
    with ThreadPoolExecutor(4) as pool:
        packed = {
            name: pool.submit(_encoded, encoder, _planned(name, values, choices[name], imatrix), values)
            for name, values in tensors.items()
        }
    return {name: (choices[name].kind.name, future.result()) for name, future in packed.items()}


def _planned(
    name: str, values: NDArray[np.float32], choice: Choice, imatrix: Imatrix | None
) -> PlannedTensor:
    importance = (imatrix or {}).get(name)
    rows = None if importance is None else importance.reshape(-1, values.shape[-1])
    return PlannedTensor(name, values.shape, choice.kind, None, Cut(), importance=rows)  # type: ignore[arg-type]


def _encoded(encoder: QuantEncoder, tensor: PlannedTensor, values: NDArray[np.float32]) -> bytes:
    cuts = [(0, values[:1]), (1, values[1:])]
    blocks = [encoder.encode(rows, "F32", [tensor], first)[0] for first, rows in cuts if len(rows)]
    return b"".join(blocks)
