"""config.json and its companions for a checkpoint of any size, as transformers spells them."""

from typing import Literal

from tests.fp8 import Fp8
from tests.tiny_shape import TinyShape, tensor_shapes
from tests.tiny_tokenizer import ADDED_TOKENS, FIRST_ADDED_ID

__all__ = ["PREPROCESSOR", "VIDEO_PREPROCESSOR", "Spelling", "generation_config", "tiny_config"]

Spelling = Literal["4.57", "5"]


def tiny_config(
    shape: TinyShape,
    *,
    tied: bool = True,
    spelling: Spelling = "4.57",
    first_added_id: int = FIRST_ADDED_ID,
    fp8: Fp8 | None = None,
) -> dict[str, object]:
    """Return config.json for `shape` as transformers 4.57 or 5 spells it; with `fp8` of a quantized one."""
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
        "max_position_embeddings": shape.context_length,
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
    if shape.n_experts:
        text |= _experts_config(shape, spelling)
    config: dict[str, object] = {
        "architectures": [f"Qwen3VL{'Moe' if shape.n_experts else ''}ForConditionalGeneration"],
        "image_token_id": ids["<|image_pad|>"],
        "model_type": _model_type(shape),
        "text_config": text,
        "tie_word_embeddings": tied,
        "transformers_version": "4.57.0.dev0" if spelling == "4.57" else "5.23.0",
        "video_token_id": ids["<|video_pad|>"],
        "vision_config": _vision_config(shape, spelling),
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
    }
    if fp8:
        config["quantization_config"] = fp8.config(tensor_shapes(shape, tied=tied))
    return config


def _model_type(shape: TinyShape) -> str:
    return "qwen3_vl_moe" if shape.n_experts else "qwen3_vl"


def _experts_config(shape: TinyShape, spelling: Spelling) -> dict[str, object]:
    """Give what a mixture of experts has beside; transformers 5 has another name for their number."""
    published = {"norm_topk_prob": True, "num_experts": shape.n_experts}
    return {
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "model_type": "qwen3_vl_moe_text",
        "moe_intermediate_size": shape.expert_ffn,
        "num_experts_per_tok": shape.n_experts_used,
        **(published if spelling == "4.57" else {"num_local_experts": shape.n_experts}),
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
        "model_type": _model_type(shape) + ("" if spelling == "4.57" else "_vision"),
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


def generation_config(first_added_id: int = FIRST_ADDED_ID) -> dict[str, object]:
    """Return generation_config.json as published."""
    ids = {token: first_added_id + i for i, token in enumerate(ADDED_TOKENS)}
    return {
        "bos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "do_sample": True,
        "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
        "top_k": 20,
        "top_p": 0.8,
        "repetition_penalty": 1.0,
        "temperature": 0.7,
        "transformers_version": "4.56.0",
    }


PREPROCESSOR: dict[str, object] = {
    "size": {"longest_edge": 65536, "shortest_edge": 4096},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
VIDEO_PREPROCESSOR: dict[str, object] = {
    "size": {"longest_edge": 262144, "shortest_edge": 4096},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "video_processor_type": "Qwen3VLVideoProcessor",
}
