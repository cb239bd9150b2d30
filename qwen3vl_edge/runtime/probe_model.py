"""A tiny quantized model, made on the fly, that sends numbers through every CPU kernel with a fast path.

ggml's extra CPU buffers (AMX tiles, repacked rows) exist for some quantized types only; each of those holds a
matrix here. Rows of 512 make the K-types span two super-blocks, so that adding up across blocks is tried too.
All row counts are multiples of 32, which AMX asks for (ggml-cpu/amx/amx.cpp, `supports_op`).
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from qwen3vl_edge.paths import native_library

__all__ = ["MATRICES", "N_VOCAB", "Matrix", "write_probe_model"]

N_VOCAB = 320
N_EMBD = 512
N_FF = 256
N_HEAD = 2
N_HEAD_KV = 1
N_HEAD_DIM = 128


@dataclass(frozen=True)
class Matrix:
    """One weight: `n_out` rows of `n_in` numbers, stored as `type`."""

    name: str
    n_out: int
    n_in: int
    type: Type


MATRICES = (
    Matrix("token_embd.weight", N_VOCAB, N_EMBD, Type.Q8_0),
    Matrix("blk.0.attn_q.weight", N_HEAD * N_HEAD_DIM, N_EMBD, Type.Q4_K),
    Matrix("blk.0.attn_k.weight", N_HEAD_KV * N_HEAD_DIM, N_EMBD, Type.Q5_K),
    Matrix("blk.0.attn_v.weight", N_HEAD_KV * N_HEAD_DIM, N_EMBD, Type.Q6_K),
    Matrix("blk.0.attn_output.weight", N_EMBD, N_HEAD * N_HEAD_DIM, Type.Q4_1),
    Matrix("blk.0.ffn_gate.weight", N_FF, N_EMBD, Type.IQ4_XS),
    Matrix("blk.0.ffn_up.weight", N_FF, N_EMBD, Type.Q4_0),
    Matrix("blk.0.ffn_down.weight", N_EMBD, N_FF, Type.Q8_0),
    Matrix("output.weight", N_VOCAB, N_EMBD, Type.Q6_K),
)

# Norm weights of one keep both branches about as large as the embedding that they are added to.
NORMS = {
    "blk.0.attn_norm.weight": N_EMBD,
    "blk.0.attn_q_norm.weight": N_HEAD_DIM,
    "blk.0.attn_k_norm.weight": N_HEAD_DIM,
    "blk.0.ffn_norm.weight": N_EMBD,
    "output_norm.weight": N_EMBD,
}


def write_probe_model(quantized: Path, reference: Path, seed: int = 0) -> None:
    """Write the probe model (under 1 MB) and, as its oracle, the very same weights dequantized to float32.

    Dequantization is gguf-py's, in numpy: it shares no code with the kernels under test.

    Raises:
        EngineError: libggml-base, which quantizes, is missing.
    """
    rng = np.random.default_rng(seed)
    ggml = _load_ggml_base()
    stored = {m: _quantize(ggml, m, _random_matrix(rng, m)) for m in MATRICES}
    _write(quantized, stored)
    _write(reference, {_as_f32(m): gguf.dequantize(data, m.type) for m, data in stored.items()})


def _random_matrix(rng: np.random.Generator, matrix: Matrix) -> NDArray[np.float32]:
    weights = rng.standard_normal((matrix.n_out, matrix.n_in), dtype=np.float32)  # (n_out, n_in)
    return weights / np.float32(np.sqrt(matrix.n_in))


def _as_f32(matrix: Matrix) -> Matrix:
    return Matrix(matrix.name, matrix.n_out, matrix.n_in, Type.F32)


def _load_ggml_base() -> ctypes.CDLL:
    ggml = ctypes.CDLL(str(native_library("ggml-base")))
    pointer = ctypes.c_void_p
    # size_t ggml_quantize_chunk(type, src, dst, int64 start, nrows, n_per_row, imatrix), ggml.h
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, *[ctypes.c_int64] * 3, pointer]
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    return ggml


def _quantize(ggml: ctypes.CDLL, matrix: Matrix, weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rows of packed blocks: uint8 (n_out, bytes per row)."""
    packed = np.empty(gguf.quant_shape_to_byte_shape(weights.shape, matrix.type), np.uint8)
    source, target = weights.ctypes.data, packed.ctypes.data
    ggml.ggml_quantize_chunk(matrix.type.value, source, target, 0, matrix.n_out, matrix.n_in, None)
    return packed


def _write(path: Path, weights: Mapping[Matrix, NDArray[np.generic]]) -> None:
    writer = gguf.GGUFWriter(path, "qwen3")
    _add_hyperparameters(writer)
    for name, length in NORMS.items():
        writer.add_tensor(name, np.ones(length, np.float32))
    for matrix, data in weights.items():
        writer.add_tensor(matrix.name, data, raw_dtype=matrix.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_hyperparameters(writer: gguf.GGUFWriter) -> None:
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_key_length(N_HEAD_DIM)
    writer.add_value_length(N_HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_vocab_size(N_VOCAB)
    writer.add_tokenizer_model("no_vocab")  # token ids go in, logits come out: no text is involved
