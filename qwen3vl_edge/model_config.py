"""The sizes and settings of a Qwen3-VL model, as values; `qwen3vl_edge.hf_config` reads them."""

import math
from dataclasses import dataclass

__all__ = ["MoEConfig", "ModelConfig", "SpecialIds", "TextConfig", "VisionConfig"]


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

    `fp8_block` is the (rows, columns) that share one scale in a block-scaled FP8 checkpoint, None in any other.
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
