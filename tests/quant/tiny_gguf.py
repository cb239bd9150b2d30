"""Language models of few values and many layers: the tensors of a Qwen3-VL, each of a few rows.

What llama.cpp's quantizer reads of the metadata is there, and no more: nothing can run these files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.quant import ModelTraits

__all__ = ["Blocks", "Tensors", "TinyModel", "tiny_tensors", "write_gguf", "write_parts"]

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Blocks:
    """A tensor that is quantized already: (..., bytes of a row) uint8."""

    packed: NDArray[np.uint8]
    kind: gguf.GGMLQuantizationType


@dataclass(frozen=True)
class TinyModel:
    """Sizes of the model; every matrix has `n_rows` rows, of `row` values but in ffn_down."""

    n_layers: int = 4
    n_heads: int = 8
    n_kv_heads: int = 2
    n_experts: int = 0
    tied: bool = True
    row: int = 256
    down_row: int = 256
    n_rows: int = 2

    @property
    def traits(self) -> ModelTraits:
        return ModelTraits(self.n_layers, self.n_heads, self.n_kv_heads, self.n_experts)

    def __str__(self) -> str:
        kind = f"{self.n_experts}experts" if self.n_experts else "dense"
        output = "tied" if self.tied else "untied"
        rows = "" if self.row == self.down_row else f"-rows{self.row}and{self.down_row}"
        return f"{self.n_layers}layers-{kind}-gqa{self.n_heads // self.n_kv_heads}-{output}{rows}"


def tiny_tensors(model: TinyModel, seed: int = 0) -> Tensors:
    """Draw the tensors; files hold them in this order, which is not llama.cpp's."""
    rng = np.random.default_rng(seed)

    def draw(*dims: int) -> NDArray[np.float32]:
        return rng.standard_normal(dims, dtype=np.float32) * np.float32(0.05)

    tensors = {"token_embd.weight": draw(model.n_rows, model.row)}
    for layer in reversed(range(model.n_layers)):
        prefix = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"{prefix}.{name}.weight"] = draw(256)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"{prefix}.{name}.weight"] = draw(model.n_rows, model.row)
        for name in ("attn_q_norm", "attn_k_norm"):
            tensors[f"{prefix}.{name}.weight"] = draw(32)
        stack, suffix = ((model.n_experts,), "_exps") if model.n_experts else ((), "")
        if model.n_experts:
            tensors[f"{prefix}.ffn_gate_inp.weight"] = draw(model.n_experts, model.row)
        tensors[f"{prefix}.ffn_down{suffix}.weight"] = draw(*stack, model.n_rows, model.down_row)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"{prefix}.{name}{suffix}.weight"] = draw(*stack, model.n_rows, model.row)
    tensors["output_norm.weight"] = draw(256)
    if not model.tied:
        tensors["output.weight"] = draw(model.n_rows, model.row)
    return tensors


def write_gguf(
    path: Path,
    model: TinyModel,
    tensors: Mapping[str, NDArray[np.float32] | Blocks],
    *,
    alignment: int | None = None,
) -> Path:
    """Write an F32 file with what llama.cpp's quantizer asks for."""
    writer = _writer(path, model)
    if alignment:
        writer.add_custom_alignment(alignment)
    _write(writer, tensors)
    return path


def write_parts(folder: Path, model: TinyModel, parts: Sequence[Tensors]) -> Path:
    """Write a model in parts; returns the first."""
    folder.mkdir()
    paths = [folder / f"tiny-{i + 1:05d}-of-{len(parts):05d}.gguf" for i in range(len(parts))]
    for i, (path, tensors) in enumerate(zip(paths, parts, strict=True)):
        writer = gguf.GGUFWriter(path, "qwen3vl") if i else _writer(path, model)
        writer.add_uint16("split.no", i)
        writer.add_uint16("split.count", len(parts))
        writer.add_int32("split.tensors.count", sum(map(len, parts)))
        _write(writer, tensors)
    return paths[0]


def _writer(path: Path, model: TinyModel) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "qwen3vlmoe" if model.n_experts else "qwen3vl")
    writer.add_name("tiny model")
    writer.add_block_count(model.n_layers)
    writer.add_context_length(512)
    writer.add_embedding_length(256)
    writer.add_feed_forward_length(256)
    writer.add_head_count(model.n_heads)
    writer.add_head_count_kv(model.n_kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_sections([8, 4, 4, 0])
    if model.n_experts:
        writer.add_expert_count(model.n_experts)
        writer.add_expert_used_count(2)
        writer.add_expert_feed_forward_length(256)
    return writer


def _write(writer: gguf.GGUFWriter, tensors: Mapping[str, NDArray[np.float32] | Blocks]) -> None:
    for name, values in tensors.items():
        if isinstance(values, Blocks):
            writer.add_tensor(name, values.packed, raw_dtype=values.kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
