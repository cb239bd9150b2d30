"""A seeded, tiny Qwen3-VL checkpoint in Hugging Face layout, written with numpy alone.

Every dimension differs from every other, so that a swapped pair of axes cannot pass unseen.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Spelling = Literal["4.57", "5"]
Dtype = Literal["BF16", "F16", "F32"]

# The 26 added tokens of Qwen3-VL in order; the first 14 are special.
ADDED_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
N_SPECIAL = 14

MERGES = (
    ("Ġ", "t"),
    ("h", "e"),
    ("Ġt", "he"),
    ("i", "n"),
    ("Ġ", "a"),
    ("r", "e"),
    ("o", "n"),
    ("e", "r"),
    ("Ġ", "s"),
    ("a", "t"),
    ("Ġ", "Ġ"),
    ("e", "d"),
)

FIRST_ADDED_ID = 256 + len(MERGES)

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'video' %}{{- '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- else %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


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
        _write_shards(folder, tensors, dtype)
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


def to_stored(values: NDArray[np.float32], dtype: Dtype) -> NDArray[np.generic]:
    """Round float32 to the stored dtype (bfloat16 by nearest even, as its 16 bits)."""
    if dtype == "F32":
        return values
    if dtype == "F16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype = "BF16") -> None:
    """Write one safetensors file, all tensors in `dtype`."""
    item_bytes = 4 if dtype == "F32" else 2
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, values in tensors.items():
        end = offset + prod(values.shape) * item_bytes
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    data = b"".join(to_stored(values, dtype).tobytes() for values in tensors.values())
    write_raw_safetensors(path, header, data)


def write_raw_safetensors(path: Path, header: dict[str, object], data: bytes) -> None:
    """Write a safetensors file with any header, sound or not."""
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def _write_shards(folder: Path, tensors: dict[str, NDArray[np.float32]], dtype: Dtype) -> None:
    names = list(tensors)
    third = -(-len(names) // 3)
    weight_map = {}
    for i in range(3):
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        part = names[i * third : (i + 1) * third]
        write_safetensors(folder / file, {name: tensors[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    _write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def byte_alphabet() -> list[str]:
    """Return the 256 characters that stand for bytes in a byte-level vocabulary (GPT-2's encoder.py)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def write_tiny_tokenizer(folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json, vocab.json, merges.txt and the chat template."""
    vocab = {token: i for i, token in enumerate([*byte_alphabet(), *(a + b for a, b in MERGES)])}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = {
        len(vocab) + i: {"content": token, **flags, "special": i < N_SPECIAL}
        for i, token in enumerate(ADDED_TOKENS)
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2_SPLIT}, "behavior": "Isolated", "invert": False}
    _write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": i, **token} for i, token in added.items()],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": byte_level,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": vocab,
                "merges": [list(pair) for pair in MERGES],
            },
        },
    )
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {str(i): token for i, token in added.items()},
            "additional_special_tokens": list(ADDED_TOKENS[1:N_SPECIAL]),
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": 4096,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )
    _write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES), encoding="utf-8"
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


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
