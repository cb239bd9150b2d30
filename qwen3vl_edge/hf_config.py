"""Reads config.json of a Qwen3-VL checkpoint.

Two spellings are in the wild. transformers 4.57, which saved everything that is published, writes
``rope_scaling`` beside ``rope_theta``; transformers 5 writes one ``rope_parameters``.
"""

from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object, shown
from qwen3vl_edge.model_config import (
    ModelConfig,
    MoEConfig,
    SpecialIds,
    TextConfig,
    VisionConfig,
    disagreements,
)

__all__ = ["CONTEXT_RANGE", "EPSILON_RANGE", "ROPE_THETA_RANGE", "read_config"]

_LIMIT_BYTES = 1 << 20  # published files are a few kilobytes, of FP8 checkpoints a few dozen
_FP8_BLOCK = (128, 128)  # what transformers takes where the file says nothing
_LARGEST_ID = 2**31 - 1  # llama_token is an int32
_MAX_LAYERS, _MAX_EXPERTS = 512, 1024  # LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS in src/llama-hparams.h
_MAX_HIDDEN, _MAX_FFN, _MAX_HEADS, _MAX_HEAD_DIM = 1 << 16, 1 << 20, 1024, 1024

CONTEXT_RANGE, ROPE_THETA_RANGE, EPSILON_RANGE = (1, 1 << 24), (1.0, 1e12), (1e-12, 0.1)
"""Least and most that is believed of max_position_embeddings, rope_theta and rms_norm_eps."""

# architectures[0] -> (model_type, general.architecture of the GGUF file, mixture of experts?)
_FAMILY = {
    "Qwen3VLForConditionalGeneration": ("qwen3_vl", "qwen3vl", False),
    "Qwen3VLMoeForConditionalGeneration": ("qwen3_vl_moe", "qwen3vlmoe", True),
}


def read_config(folder: Path) -> ModelConfig:
    """Read ``folder/config.json``, in either spelling.

    Raises:
        CheckpointError: every fault of the file in one line, each named by file and key.
    """
    path = folder / "config.json"
    fields = Fields(read_object(path, _LIMIT_BYTES, CheckpointError), str(path))
    config = _model(fields)
    if fields.problems:
        raise CheckpointError(join_problems(fields.problems))
    return config


def _model(fields: Fields) -> ModelConfig:
    architecture = _architecture(fields)
    model_type, gguf_architecture, is_moe = _FAMILY[architecture]
    if fields.text("model_type") != model_type:
        fields.fault("model_type", f"is {shown(fields.values.get('model_type'))}, {model_type!r} is expected")
    text_fields, vision_fields = fields.section("text_config"), fields.section("vision_config")
    text, vision = _text(text_fields, model_type, is_moe=is_moe), _vision(vision_fields)
    if not fields.problems:
        fields.problems += [f"{fields.where}: {fault}" for fault in disagreements(text, vision)]
    return ModelConfig(
        architecture=architecture,
        model_type=model_type,
        gguf_architecture=gguf_architecture,
        # The outer one counts where both stand: transformers 5.23 looks at no other (modeling_utils.py), and
        # its own mixtures of experts say false outside and true inside.
        tie_word_embeddings=fields.flag(
            "tie_word_embeddings", text_fields.flag("tie_word_embeddings", False)
        ),
        text=text,
        vision=vision,
        special_ids=_special_ids(fields, text_fields),
        fp8_block=_fp8_block(fields.section("quantization_config"))
        if fields.has("quantization_config")
        else None,
        transformers_version=fields.text("transformers_version", "") or None,
    )


def _architecture(fields: Fields) -> str:
    names = fields.values.get("architectures")
    found = names[0] if isinstance(names, list) and names else None
    if isinstance(found, str) and found in _FAMILY:
        return found
    fields.fault("architectures", f"is {shown(names)}, one of {', '.join(_FAMILY)} is expected")
    raise CheckpointError(join_problems(fields.problems))  # nothing else in the file would make sense


def _text(fields: Fields, model_type: str, *, is_moe: bool) -> TextConfig:
    rope_key = "rope_parameters" if fields.has("rope_parameters") else "rope_scaling"
    rope = fields.section(rope_key)
    _expect(rope, "rope_type", rope.text("rope_type", "default"), "default")
    _expect(rope, "mrope_interleaved", rope.flag("mrope_interleaved", True), True)
    _expect(fields, "model_type", fields.text("model_type", ""), f"{model_type}_text")
    _expect(fields, "attention_bias", fields.flag("attention_bias", False), False)
    _expect(fields, "hidden_act", fields.text("hidden_act", "silu"), "silu")
    return TextConfig(
        vocab_size=fields.integer("vocab_size", most=1 << 20),
        hidden=fields.integer("hidden_size", most=_MAX_HIDDEN),
        ffn=fields.integer("intermediate_size", most=_MAX_FFN),
        n_layers=fields.integer("num_hidden_layers", most=_MAX_LAYERS),
        n_heads=fields.integer("num_attention_heads", most=_MAX_HEADS),
        n_kv_heads=fields.integer("num_key_value_heads", most=_MAX_HEADS),
        head_dim=fields.integer("head_dim", 128, most=_MAX_HEAD_DIM),
        context_length=fields.integer("max_position_embeddings", most=CONTEXT_RANGE[1]),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6, least=EPSILON_RANGE[0], most=EPSILON_RANGE[1]),
        rope_theta=(rope if rope.has("rope_theta") else fields).number(
            "rope_theta", least=ROPE_THETA_RANGE[0], most=ROPE_THETA_RANGE[1]
        ),
        mrope_section=rope.integers("mrope_section", least=1),
        moe=_moe(fields) if is_moe else None,
    )


def _moe(fields: Fields) -> MoEConfig:
    """Read the experts; llama.cpp knows no layers without them and always normalizes the router's choice.

    Source: ``build_moe_ffn`` in src/models/qwen3vlmoe.cpp, 0c1e57098, called with ``norm_w = true``;
    transformers 5.23 does the same whatever ``norm_topk_prob`` says.
    """
    _expect(fields, "decoder_sparse_step", fields.integer("decoder_sparse_step", 1), 1)
    _expect(fields, "norm_topk_prob", fields.flag("norm_topk_prob", True), True)
    if fields.has("mlp_only_layers"):
        _expect(fields, "mlp_only_layers", list(fields.integers("mlp_only_layers")), [])
    # transformers 5 saves the first under the second name
    count_key = "num_experts" if fields.has("num_experts") else "num_local_experts"
    return MoEConfig(
        n_experts=fields.integer(count_key, most=_MAX_EXPERTS),
        n_experts_used=fields.integer("num_experts_per_tok", most=_MAX_EXPERTS),
        expert_ffn=fields.integer("moe_intermediate_size", most=_MAX_FFN),
    )


def _vision(fields: Fields) -> VisionConfig:
    """Read the encoder; llama.cpp writes merges of 2 × 2 out as numbers (tools/mtmd/models/qwen3vl.cpp)."""
    _expect(fields, "hidden_act", fields.text("hidden_act", "gelu_pytorch_tanh"), "gelu_pytorch_tanh")
    _expect(fields, "in_channels", fields.integer("in_channels", 3), 3)
    _expect(fields, "temporal_patch_size", fields.integer("temporal_patch_size", 2), 2)
    _expect(fields, "spatial_merge_size", fields.integer("spatial_merge_size", 2), 2)
    return VisionConfig(
        n_layers=fields.integer("depth", most=_MAX_LAYERS),
        hidden=fields.integer("hidden_size", most=_MAX_HIDDEN),
        ffn=fields.integer("intermediate_size", most=_MAX_FFN),
        n_heads=fields.integer("num_heads", most=_MAX_HEADS),
        out_hidden=fields.integer("out_hidden_size", most=_MAX_HIDDEN),
        patch_size_px=fields.integer("patch_size", most=256),
        spatial_merge=fields.integer("spatial_merge_size", 2),
        n_positions=fields.integer("num_position_embeddings", most=1 << 20),
        deepstack_layers=fields.integers("deepstack_visual_indexes", most=_MAX_LAYERS - 1),
    )


def _fp8_block(fields: Fields) -> tuple[int, int]:
    """Read the settings of transformers' ``FineGrainedFP8Config`` (5.23, utils/quantization_config.py)."""
    if fields.text("quant_method") != "fp8":
        fields.fault(
            "quant_method", f"is {shown(fields.values.get('quant_method'))}; only 'fp8' is supported"
        )
    _expect(fields, "fmt", fields.text("fmt", "e4m3"), "e4m3")
    block = fields.integers("weight_block_size") if fields.has("weight_block_size") else _FP8_BLOCK
    if len(block) != 2 or not all(0 < side <= 1 << 16 for side in block):
        fields.fault("weight_block_size", f"is {shown(list(block))}, [rows, columns] is expected")
        return _FP8_BLOCK
    return block[0], block[1]


def _special_ids(fields: Fields, text: Fields) -> SpecialIds:
    def optional(key: str) -> int | None:
        holder = fields if fields.has(key) else text
        return holder.integer(key, least=0, most=_LARGEST_ID) if holder.has(key) else None

    return SpecialIds(
        image=fields.integer("image_token_id", least=0, most=_LARGEST_ID),
        video=fields.integer("video_token_id", least=0, most=_LARGEST_ID),
        vision_start=fields.integer("vision_start_token_id", least=0, most=_LARGEST_ID),
        vision_end=fields.integer("vision_end_token_id", least=0, most=_LARGEST_ID),
        bos=optional("bos_token_id"),
        eos=optional("eos_token_id"),
        pad=optional("pad_token_id"),
    )


def _expect(fields: Fields, key: str, value: object, wanted: object) -> None:
    if fields.has(key) and value != wanted:
        fields.fault(key, f"is {shown(value)}; only {wanted!r} is supported")
