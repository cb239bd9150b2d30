"""The metadata of both files beyond ``general.``, as tables of key, type and value.

Keys and types as llama.cpp's converter writes them (conversion/base.py, conversion/qwen3vl.py,
0c1e57098). What differs on purpose stands in docs/conversion.md.
"""

from collections.abc import Iterator, Sequence

from qwen3vl_edge.converters.vocab import SpecialKind, Vocab
from qwen3vl_edge.ggml_types import QUANTIZATION_VERSION
from qwen3vl_edge.gguf_format import Scalar, ValueType
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.model_config import ModelConfig, MoEConfig
from qwen3vl_edge.quant.projector import UNPADDED_KEY, WIDTH_KEY
from qwen3vl_edge.writing.gguf_header import KeyValue, array

__all__ = ["model_metadata", "projector_metadata"]

_VISION_NORM_EPS = 1e-6  # nn.LayerNorm(eps=1e-6), transformers 5.23 models/qwen3_vl/modeling_qwen3_vl.py

_U32, _I32, _U64, _F32 = ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.FLOAT32
_BOOL, _STRING = ValueType.BOOL, ValueType.STRING

_TOKEN_ID_KEYS: dict[SpecialKind, str] = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "sep": "tokenizer.ggml.seperator_token_id",  # spelled so in gguf
    "pad": "tokenizer.ggml.padding_token_id",
    "cls": "tokenizer.ggml.cls_token_id",
    "mask": "tokenizer.ggml.mask_token_id",
}


def model_metadata(
    config: ModelConfig, vocab: Vocab | None, general: Sequence[KeyValue], file_type: int
) -> tuple[KeyValue, ...]:
    """Return all metadata of the language model's file; `file_type` is general.file_type."""
    arch, text = config.gguf_architecture, config.text
    sections: tuple[Scalar, ...] = (*text.mrope_section, 0)  # time, height, width, unused
    return (
        KeyValue("general.architecture", _STRING, arch),
        *general,
        KeyValue(f"{arch}.block_count", _U32, text.n_layers),
        KeyValue(f"{arch}.context_length", _U32, text.context_length),
        KeyValue(f"{arch}.embedding_length", _U32, text.hidden),
        KeyValue(f"{arch}.feed_forward_length", _U32, text.ffn),
        KeyValue(f"{arch}.attention.head_count", _U32, text.n_heads),
        KeyValue(f"{arch}.attention.head_count_kv", _U32, text.n_kv_heads),
        KeyValue(f"{arch}.rope.dimension_sections", _I32, sections),
        KeyValue(f"{arch}.rope.freq_base", _F32, text.rope_theta),
        KeyValue(f"{arch}.attention.layer_norm_rms_epsilon", _F32, text.rms_norm_eps),
        *_experts(arch, text.moe),
        KeyValue(f"{arch}.attention.key_length", _U32, text.head_dim),
        KeyValue(f"{arch}.attention.value_length", _U32, text.head_dim),
        KeyValue("general.file_type", _U32, file_type),
        *_expert_size(arch, text.moe),
        KeyValue(f"{arch}.n_deepstack_layers", _U32, len(config.vision.deepstack_layers)),
        KeyValue("general.quantization_version", _U32, QUANTIZATION_VERSION),
        *(_tokenizer(vocab) if vocab else ()),
    )


def _experts(arch: str, moe: MoEConfig | None) -> Iterator[KeyValue]:
    if moe:
        yield KeyValue(f"{arch}.expert_count", _U32, moe.n_experts)
        yield KeyValue(f"{arch}.expert_used_count", _U32, moe.n_experts_used)


def _expert_size(arch: str, moe: MoEConfig | None) -> Iterator[KeyValue]:
    if moe:
        yield KeyValue(f"{arch}.expert_feed_forward_length", _U32, moe.expert_ffn)


def projector_metadata(
    config: ModelConfig,
    limits: PreprocessorDefaults,
    general: Sequence[KeyValue],
    file_type: int,
    mlp_width: int,
) -> tuple[KeyValue, ...]:
    """Return all metadata of the projector's file, whose MLPs are `mlp_width` wide."""
    vision = config.vision
    taps = [layer in vision.deepstack_layers for layer in range(vision.n_layers)]
    return (
        KeyValue("general.architecture", _STRING, "clip"),
        *general,
        KeyValue("general.file_type", _U32, file_type),
        KeyValue("clip.has_vision_encoder", _BOOL, True),
        KeyValue("clip.vision.projection_dim", _U32, config.text.hidden),
        KeyValue("clip.vision.image_size", _U32, vision.grid * vision.patch_size_px),
        KeyValue("clip.vision.patch_size", _U32, vision.patch_size_px),
        KeyValue("clip.vision.embedding_length", _U32, vision.hidden),
        KeyValue(WIDTH_KEY, _U32, mlp_width),
        KeyValue("clip.vision.block_count", _U32, vision.n_layers),
        KeyValue("clip.vision.attention.head_count", _U32, vision.n_heads),
        array("clip.vision.image_mean", _F32, limits.mean),
        array("clip.vision.image_std", _F32, limits.std),
        KeyValue("clip.projector_type", _STRING, "qwen3vl_merger"),
        KeyValue("clip.use_gelu", _BOOL, True),
        KeyValue("clip.vision.spatial_merge_size", _U32, vision.spatial_merge),
        KeyValue("clip.vision.attention.layer_norm_epsilon", _F32, _VISION_NORM_EPS),
        array("clip.vision.is_deepstack_layers", _BOOL, taps),
        KeyValue("general.quantization_version", _U32, QUANTIZATION_VERSION),
        *_limits(limits),
        *([KeyValue(UNPADDED_KEY, _U32, vision.ffn)] if mlp_width != vision.ffn else []),
    )


def _limits(limits: PreprocessorDefaults) -> tuple[KeyValue, ...]:
    """Say how large pictures and clips may be, in our own namespace: other programs behave as ever."""
    return (
        KeyValue("qwen3vl_edge.image.min_pixels", _U64, limits.image.min_pixels),
        KeyValue("qwen3vl_edge.image.max_pixels", _U64, limits.image.max_pixels),
        KeyValue("qwen3vl_edge.video.min_pixels", _U64, limits.video.min_pixels),
        KeyValue("qwen3vl_edge.video.max_pixels", _U64, limits.video.max_pixels),
        KeyValue("qwen3vl_edge.video.fps", _F32, limits.video.fps),
        KeyValue("qwen3vl_edge.video.min_frames", _U32, limits.video.min_frames),
        KeyValue("qwen3vl_edge.video.max_frames", _U32, limits.video.max_frames),
    )


def _tokenizer(vocab: Vocab) -> tuple[KeyValue, ...]:
    template = vocab.chat_template
    return (
        KeyValue("tokenizer.ggml.model", _STRING, "gpt2"),
        KeyValue("tokenizer.ggml.pre", _STRING, "qwen2"),
        array("tokenizer.ggml.tokens", _STRING, vocab.tokens),
        array("tokenizer.ggml.token_type", _I32, vocab.token_types),
        array("tokenizer.ggml.merges", _STRING, vocab.merges),
        *(KeyValue(_TOKEN_ID_KEYS[kind], _U32, token_id) for kind, token_id in vocab.special_ids.items()),
        *(
            KeyValue(f"tokenizer.ggml.add_{kind}_token", _BOOL, flag)
            for kind, flag in vocab.adds_tokens.items()
        ),
        *([KeyValue("tokenizer.chat_template", _STRING, template)] if template else []),
    )
