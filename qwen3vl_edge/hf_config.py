"""Reads config.json of a Qwen3-VL checkpoint.

Two spellings are in the wild. transformers 4.57, which saved everything that is published, writes
``rope_scaling`` beside ``rope_theta``; transformers 5 writes one ``rope_parameters``.
"""

from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object
from qwen3vl_edge.model_config import ModelConfig, MoEConfig, SpecialIds, TextConfig, VisionConfig

__all__ = ["read_config"]

_LIMIT_BYTES = 4 << 20  # published files are a few kilobytes
_FP8_BLOCK = (128, 128)  # what transformers takes where the file says nothing
_LARGEST_ID = 2**31 - 1  # llama_token is an int32

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
    if fields.text("model_type") not in ("", model_type):
        fields.fault("model_type", f"is {fields.values['model_type']!r}, {architecture} has {model_type!r}")
    text_fields, vision_fields = fields.section("text_config"), fields.section("vision_config")
    text, vision = _text(text_fields, is_moe), _vision(vision_fields)
    if not fields.problems:
        _agree(text, vision, text_fields, vision_fields)
    return ModelConfig(
        architecture=architecture,
        model_type=model_type,
        gguf_architecture=gguf_architecture,
        tie_word_embeddings=fields.flag(
            "tie_word_embeddings", text_fields.flag("tie_word_embeddings", False)
        ),
        text=text,
        vision=vision,
        special_ids=_special_ids(fields, text_fields),
        fp8_block=_fp8_block(fields.section("quantization_config")) if fields.has("quantization_config") else None,
        transformers_version=fields.text("transformers_version", "") or None,
    )


def _architecture(fields: Fields) -> str:
    names = fields.values.get("architectures")
    found = names[0] if isinstance(names, list) and names else None
    if isinstance(found, str) and found in _FAMILY:
        return found
    fields.fault("architectures", f"is {names!r:.80}, one of {', '.join(_FAMILY)} is expected")
    raise CheckpointError(join_problems(fields.problems))  # nothing else in the file would make sense


def _text(fields: Fields, is_moe: bool) -> TextConfig:
    rope_key = "rope_parameters" if fields.has("rope_parameters") else "rope_scaling"
    rope = fields.section(rope_key)
    _expect(rope, "rope_type", rope.text("rope_type", "default"), "default")
    _expect(rope, "mrope_interleaved", rope.flag("mrope_interleaved", True), True)
    _expect(fields, "attention_bias", fields.flag("attention_bias", False), False)
    _expect(fields, "hidden_act", fields.text("hidden_act", "silu"), "silu")
    return TextConfig(
        vocab_size=fields.integer("vocab_size", most=1 << 24),
        hidden=fields.integer("hidden_size", most=1 << 20),
        ffn=fields.integer("intermediate_size", most=1 << 24),
        n_layers=fields.integer("num_hidden_layers", most=4096),
        n_heads=fields.integer("num_attention_heads", most=4096),
        n_kv_heads=fields.integer("num_key_value_heads", most=4096),
        head_dim=fields.integer("head_dim", 128, most=4096),
        context_length=fields.integer("max_position_embeddings", most=1 << 31),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope_theta=(rope if rope.has("rope_theta") else fields).number("rope_theta", least=1.0),
        mrope_section=rope.integers("mrope_section"),
        moe=_moe(fields) if is_moe else None,
    )


def _moe(fields: Fields) -> MoEConfig:
    return MoEConfig(
        n_experts=fields.integer("num_experts", most=1 << 16),
        n_experts_used=fields.integer("num_experts_per_tok", most=1 << 16),
        expert_ffn=fields.integer("moe_intermediate_size", most=1 << 24),
    )


def _vision(fields: Fields) -> VisionConfig:
    _expect(fields, "hidden_act", fields.text("hidden_act", "gelu_pytorch_tanh"), "gelu_pytorch_tanh")
    _expect(fields, "in_channels", fields.integer("in_channels", 3), 3)
    _expect(fields, "temporal_patch_size", fields.integer("temporal_patch_size", 2), 2)
    return VisionConfig(
        n_layers=fields.integer("depth", most=4096),
        hidden=fields.integer("hidden_size", most=1 << 20),
        ffn=fields.integer("intermediate_size", most=1 << 24),
        n_heads=fields.integer("num_heads", most=4096),
        out_hidden=fields.integer("out_hidden_size", most=1 << 20),
        patch_size_px=fields.integer("patch_size", most=1024),
        spatial_merge=fields.integer("spatial_merge_size", most=64),
        n_positions=fields.integer("num_position_embeddings", most=1 << 24),
        deepstack_layers=fields.integers("deepstack_visual_indexes"),
    )


def _fp8_block(fields: Fields) -> tuple[int, int]:
    """Read the settings of transformers' ``FineGrainedFP8Config`` (5.23, utils/quantization_config.py)."""
    if fields.text("quant_method") != "fp8":
        fields.fault("quant_method", f"is {fields.values.get('quant_method')!r:.40}; only 'fp8' is supported")
    block = fields.integers("weight_block_size") if fields.has("weight_block_size") else _FP8_BLOCK
    if len(block) != 2 or not all(0 < side <= 1 << 16 for side in block):
        fields.fault("weight_block_size", f"is {list(block)!r:.60}, [rows, columns] is expected")
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
        fields.fault(key, f"is {value!r:.60}; only {wanted!r} is supported")


def _agree(text: TextConfig, vision: VisionConfig, text_fields: Fields, vision_fields: Fields) -> None:
    """Note where numbers that are each possible do not go together."""
    depth, taps = vision.n_layers, vision.deepstack_layers
    checks = (
        (
            text_fields,
            "num_key_value_heads",
            text.n_heads % text.n_kv_heads == 0,
            "does not divide num_attention_heads",
        ),
        (text_fields, "mrope_section", len(text.mrope_section) == 3, "does not have 3 parts"),
        (
            text_fields,
            "mrope_section",
            2 * sum(text.mrope_section) == text.head_dim,
            "does not add up to head_dim / 2",
        ),
        (vision_fields, "num_heads", vision.hidden % vision.n_heads == 0, "does not divide hidden_size"),
        (
            vision_fields,
            "out_hidden_size",
            vision.out_hidden == text.hidden,
            "differs from text_config's hidden_size",
        ),
        (
            vision_fields,
            "num_position_embeddings",
            vision.grid**2 == vision.n_positions,
            "is not a square number",
        ),
        (vision_fields, "deepstack_visual_indexes", len(set(taps)) == len(taps), "names a layer twice"),
        (
            vision_fields,
            "deepstack_visual_indexes",
            all(i < depth for i in taps),
            f"names a layer from {depth} on",
        ),
        (
            vision_fields,
            "deepstack_visual_indexes",
            len(taps) <= text.n_layers,
            "is longer than the text model is deep",
        ),
    )
    for fields, key, holds, what in checks:
        if not holds:
            fields.fault(key, what)
