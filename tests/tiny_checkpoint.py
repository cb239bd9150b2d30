"""A seeded, tiny Qwen3-VL checkpoint in Hugging Face layout, written with numpy alone.

Every dimension differs from every other, so that a swapped pair of axes cannot pass unseen.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.safetensors_files import Dtype, write_safetensors, write_shards
from tests.tiny_tokenizer import ADDED_TOKENS, FIRST_ADDED_ID, write_tiny_tokenizer

__all__ = ["Spelling", "TinyShape", "tensor_shapes", "tiny_config", "tiny_tensors", "write_tiny_checkpoint"]

Spelling = Literal["4.57", "5"]


@dataclass(frozen=True)
class TinyShape:
    """The sizes of the checkpoint; the vocabulary is 256 bytes + merges + added tokens + padding."""

    hidden: int = 256
    ffn: int = 352
    n_layers: int = 4
    n_heads: int = 6
    n_kv_heads: int = 2
    head_dim: int = 64
    mrope_section: tuple[int, int, int] = (12, 10, 10)
    vocab_size: int = 300
    vision_hidden: int = 80
    vision_ffn: int = 208  # 16 mod 32, like the 4304 of the family
    vision_layers: int = 5
    vision_heads: int = 5
    n_positions: int = 100  # 10 × 10
    deepstack: tuple[int, ...] = (0, 2, 3)


def write_tiny_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    tied: bool = True,
    sharded: bool = False,
    spelling: Spelling = "4.57",
    dtype: Dtype = "BF16",
    shape: TinyShape | None = None,
    tokenizer: bool = True,
    first_added_id: int = FIRST_ADDED_ID,
) -> Path:
    """Write the checkpoint into `folder` (made if need be) and return `folder`.

    Without `tokenizer` its files are left out; `first_added_id` is then where the added tokens of the
    one that takes its place begin.
    """
    shape = shape or TinyShape()
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(
        folder / "config.json",
        tiny_config(shape, tied=tied, spelling=spelling, first_added_id=first_added_id),
    )
    _write_json(folder / "generation_config.json", _GENERATION)
    _write_json(folder / "preprocessor_config.json", _PREPROCESSOR)
    _write_json(folder / "video_preprocessor_config.json", _VIDEO_PREPROCESSOR)
    if tokenizer:
        write_tiny_tokenizer(folder)
    tensors = tiny_tensors(shape, seed=seed, tied=tied)
    if sharded:
        write_shards(folder, tensors, dtype)
    else:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
    return folder


def tiny_config(
    shape: TinyShape, *, tied: bool = True, spelling: Spelling = "4.57", first_added_id: int = FIRST_ADDED_ID
) -> dict[str, object]:
    """Return config.json for `shape` as transformers 4.57 or 5 would spell it."""
    ids = {token: first_added_id + i for i, token in enumerate(ADDED_TOKENS)}
    rope = {"mrope_interleaved": True, "mrope_section": list(shape.mrope_section), "rope_type": "default"}
    text: dict[str, object] = {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": ids["<|endoftext|>"],
        "dtype": "bfloat16",
        "eos_token_id": ids["<|im_end|>"],
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": 4096,
        "model_type": "qwen3_vl_text",
        "num_attention_heads": shape.n_heads,
        "num_hidden_layers": shape.n_layers,
        "num_key_value_heads": shape.n_kv_heads,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": shape.vocab_size,
    }
    if spelling == "4.57":
        text |= {"rope_scaling": rope, "rope_theta": 5_000_000}
    else:
        text |= {"rope_parameters": rope | {"rope_theta": 5_000_000}}
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "image_token_id": ids["<|image_pad|>"],
        "model_type": "qwen3_vl",
        "text_config": text,
        "tie_word_embeddings": tied,
        "transformers_version": "4.57.0.dev0" if spelling == "4.57" else "5.23.0",
        "video_token_id": ids["<|video_pad|>"],
        "vision_config": _vision_config(shape, spelling),
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
    }


def _vision_config(shape: TinyShape, spelling: Spelling) -> dict[str, object]:
    config: dict[str, object] = {
        "deepstack_visual_indexes": list(shape.deepstack),
        "depth": shape.vision_layers,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": shape.vision_hidden,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": shape.vision_ffn,
        "model_type": "qwen3_vl" if spelling == "4.57" else "qwen3_vl_vision",
        "num_heads": shape.vision_heads,
        "num_position_embeddings": shape.n_positions,
        "out_hidden_size": shape.hidden,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if spelling == "5":
        config["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": "axial"}
    return config


def tiny_tensors(shape: TinyShape, *, seed: int = 0, tied: bool = True) -> dict[str, NDArray[np.float32]]:
    """Return every tensor by its published name, float32: norms near 1, the rest near 0."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, dims in tensor_shapes(shape, tied=tied).items():
        values = rng.standard_normal(dims, dtype=np.float32) * np.float32(0.05)
        is_norm = "norm" in name and name.endswith(".weight")
        tensors[name] = values + np.float32(1.0) if is_norm else values
    return tensors


def tensor_shapes(shape: TinyShape, *, tied: bool = True) -> dict[str, tuple[int, ...]]:
    """Return name -> row-major shape of every tensor."""
    shapes: dict[str, tuple[int, ...]] = {}
    if not tied:
        shapes["lm_head.weight"] = (shape.vocab_size, shape.hidden)
    shapes["model.language_model.embed_tokens.weight"] = (shape.vocab_size, shape.hidden)
    for layer in range(shape.n_layers):
        shapes |= _text_layer(shape, f"model.language_model.layers.{layer}")
    shapes["model.language_model.norm.weight"] = (shape.hidden,)
    for block in range(shape.vision_layers):
        shapes |= _vision_block(shape, f"model.visual.blocks.{block}")
    merged = 4 * shape.vision_hidden
    for i in range(len(shape.deepstack)):
        shapes |= _merger(f"model.visual.deepstack_merger_list.{i}", merged, merged, shape.hidden)
    shapes |= _merger("model.visual.merger", shape.vision_hidden, merged, shape.hidden)
    shapes["model.visual.patch_embed.proj.bias"] = (shape.vision_hidden,)
    shapes["model.visual.patch_embed.proj.weight"] = (shape.vision_hidden, 3, 2, 16, 16)
    shapes["model.visual.pos_embed.weight"] = (shape.n_positions, shape.vision_hidden)
    return shapes


def _text_layer(shape: TinyShape, prefix: str) -> dict[str, tuple[int, ...]]:
    hidden, q, kv = shape.hidden, shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    return {
        f"{prefix}.input_layernorm.weight": (hidden,),
        f"{prefix}.mlp.down_proj.weight": (hidden, shape.ffn),
        f"{prefix}.mlp.gate_proj.weight": (shape.ffn, hidden),
        f"{prefix}.mlp.up_proj.weight": (shape.ffn, hidden),
        f"{prefix}.post_attention_layernorm.weight": (hidden,),
        f"{prefix}.self_attn.k_norm.weight": (shape.head_dim,),
        f"{prefix}.self_attn.k_proj.weight": (kv, hidden),
        f"{prefix}.self_attn.o_proj.weight": (hidden, q),
        f"{prefix}.self_attn.q_norm.weight": (shape.head_dim,),
        f"{prefix}.self_attn.q_proj.weight": (q, hidden),
        f"{prefix}.self_attn.v_proj.weight": (kv, hidden),
    }


def _vision_block(shape: TinyShape, prefix: str) -> dict[str, tuple[int, ...]]:
    hidden, ffn = shape.vision_hidden, shape.vision_ffn
    weights = {
        "attn.proj": (hidden, hidden),
        "attn.qkv": (3 * hidden, hidden),
        "mlp.linear_fc1": (ffn, hidden),
        "mlp.linear_fc2": (hidden, ffn),
        "norm1": (hidden,),
        "norm2": (hidden,),
    }
    return _with_biases(prefix, weights)


def _merger(prefix: str, normed: int, merged: int, out: int) -> dict[str, tuple[int, ...]]:
    return _with_biases(
        prefix, {"linear_fc1": (merged, merged), "linear_fc2": (out, merged), "norm": (normed,)}
    )


def _with_biases(prefix: str, weights: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, dims in weights.items():
        shapes[f"{prefix}.{name}.bias"] = dims[:1]
        shapes[f"{prefix}.{name}.weight"] = dims
    return shapes


_GENERATION: dict[str, object] = {
    "bos_token_id": FIRST_ADDED_ID,
    "pad_token_id": FIRST_ADDED_ID,
    "do_sample": True,
    "eos_token_id": [FIRST_ADDED_ID + 2, FIRST_ADDED_ID],
    "top_k": 20,
    "top_p": 0.8,
    "repetition_penalty": 1.0,
    "temperature": 0.7,
    "transformers_version": "4.56.0",
}
_PREPROCESSOR: dict[str, object] = {
    "size": {"longest_edge": 65536, "shortest_edge": 4096},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
_VIDEO_PREPROCESSOR: dict[str, object] = {
    "size": {"longest_edge": 262144, "shortest_edge": 4096},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
