"""The sizes and settings of a Qwen3-VL model, as values; `qwen3vl_edge.hf_config` reads them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MoEConfig", "ModelConfig", "SpecialIds", "TextConfig", "VisionConfig", "disagreements"]

_MAX_IMAGE_SIDE_PX = 8192  # llama.cpp refuses larger ones (tools/mtmd/clip.cpp, 0c1e57098)
_MROPE_COVER = 0.9


@dataclass(frozen=True, slots=True)
class MoEConfig:
    """The experts of a mixture-of-experts text model."""

    n_experts: int
    n_experts_used: int
    expert_ffn: int


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The language model. ``mrope_section`` counts rotary pairs for time, height and width."""

    vocab_size: int
    hidden: int
    ffn: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    context_length: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, ...]
    moe: MoEConfig | None


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """The vision encoder. ``deepstack_layers`` are the blocks whose output also enters the language model."""

    n_layers: int
    hidden: int
    ffn: int
    n_heads: int
    out_hidden: int
    patch_size_px: int
    spatial_merge: int
    n_positions: int
    deepstack_layers: tuple[int, ...]

    @property
    def grid(self) -> int:
        """Side of the square of learned positions: n_positions = grid², checked when read."""
        return math.isqrt(self.n_positions)

    @property
    def token_side_px(self) -> int:
        """Side in pixels of the square that becomes one token of the language model."""
        return self.patch_size_px * self.spatial_merge


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Token ids that config.json names; None where it does not."""

    image: int
    video: int
    vision_start: int
    vision_end: int
    bos: int | None
    eos: int | None
    pad: int | None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything that config.json says and the converter uses.

    `fp8_block` is the (rows, columns) that share one scale in a block-scaled FP8 checkpoint, else None.
    """

    architecture: str
    model_type: str
    gguf_architecture: str
    tie_word_embeddings: bool
    text: TextConfig
    vision: VisionConfig
    special_ids: SpecialIds
    fp8_block: tuple[int, int] | None
    transformers_version: str | None


def disagreements(text: TextConfig, vision: VisionConfig) -> list[str]:
    """Say where numbers that are each possible do not go together, naming the key of config.json."""
    return [
        f"{where} {what}" for where, what, holds in (*_of_text(text), *_of_vision(text, vision)) if not holds
    ]


def _of_text(text: TextConfig) -> Iterator[tuple[str, str, bool]]:
    pairs, sections = text.head_dim / 2, text.mrope_section
    heads, rope = "text_config: num_key_value_heads", "text_config: mrope_section"
    yield heads, "does not divide num_attention_heads", text.n_heads % text.n_kv_heads == 0
    yield rope, "does not have 3 parts", len(sections) == 3
    yield rope, "does not add up to head_dim / 2", sum(sections) == pairs
    # llama.cpp turns the pairs beyond three times a part by position 0 instead of time (is_imrope in
    # ggml_mrope_cache_init): the family's last two of 64, whose angle is next to nothing.
    yield rope, "is not interleaved evenly", 3 * min(sections, default=0) >= _MROPE_COVER * pairs
    if text.moe is not None:
        used = text.moe.n_experts_used <= text.moe.n_experts
        yield "text_config: num_experts_per_tok", "is more than there are experts", used


def _of_vision(text: TextConfig, vision: VisionConfig) -> Iterator[tuple[str, str, bool]]:
    heads, taps = "vision_config: num_heads", "vision_config: deepstack_visual_indexes"
    layers, out = vision.deepstack_layers, vision.out_hidden
    yield heads, "does not divide hidden_size", vision.hidden % vision.n_heads == 0
    # the rotation is by rows for one half of a head and by columns for the other, in pairs
    yield heads, "does not leave each head a multiple of 4", vision.hidden // vision.n_heads % 4 == 0
    yield "vision_config: out_hidden_size", "differs from text_config's hidden_size", out == text.hidden
    square, side_px = vision.grid**2 == vision.n_positions, vision.grid * vision.patch_size_px
    yield "vision_config: num_position_embeddings", "is not a square number", square
    fits = side_px <= _MAX_IMAGE_SIDE_PX
    yield "vision_config: patch_size", f"makes pictures of more than {_MAX_IMAGE_SIDE_PX} px", fits
    yield taps, "names a layer twice", len(set(layers)) == len(layers)
    yield taps, f"names a layer from {vision.n_layers} on", all(i < vision.n_layers for i in layers)
    yield taps, "leaves no layer of the text model without one", len(layers) < text.n_layers
