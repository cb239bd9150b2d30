"""The facts about the two halves of a model, from config.json or from GGUF metadata."""

from dataclasses import dataclass, replace

from qwen3vl_edge.gguf_info import GGUFArray, GGUFInfo
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.model_config import ModelConfig

__all__ = [
    "ImageFacts",
    "TextFacts",
    "VisionFacts",
    "text_of_config",
    "text_of_gguf",
    "vision_of_config",
    "vision_of_gguf",
]

_TEXT_ARCHITECTURES = ("qwen3vl", "qwen3vlmoe")
_WIDTH = "clip.vision.feed_forward_length"
_UNPADDED_WIDTH = "qwen3vl_edge.vision.unpadded_feed_forward_length"  # of a projector whose MLP ends in zeros


@dataclass(frozen=True, slots=True)
class TextFacts:
    """The language model; experts are None for a dense one."""

    context_length: int
    vocab_size: int
    n_layers: int
    hidden: int
    ffn: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_theta: float
    mrope_section: tuple[int, ...]
    n_deepstack_layers: int
    tied_embeddings: bool
    n_experts: int | None
    n_experts_used: int | None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """How large a picture may be, in pixels and in tokens of the language model."""

    min_pixels: int
    max_pixels: int
    min_tokens: int
    max_tokens: int

    @classmethod
    def of(cls, limits: ImageLimits) -> "ImageFacts":
        """Work out the tokens: one for each square of ``limits.factor`` px, at least one."""
        area = limits.factor**2
        fewest, most = max(1, -(-limits.min_pixels // area)), max(1, limits.max_pixels // area)
        return cls(limits.min_pixels, limits.max_pixels, fewest, most)


@dataclass(frozen=True, slots=True)
class VisionFacts:
    """The vision encoder and projector, and how large pictures and clips may be.

    `ffn` is the model's own width, `ffn_padded` that of a file which makes it up with zeros.
    """

    n_layers: int
    hidden: int
    ffn: int
    n_heads: int
    projection_dim: int
    patch_size_px: int
    spatial_merge: int
    deepstack_layers: tuple[int, ...]
    image: ImageFacts
    video: VideoLimits
    ffn_padded: int | None = None


def text_of_config(config: ModelConfig) -> TextFacts:
    """Take the facts from config.json."""
    text, moe = config.text, config.text.moe
    return TextFacts(
        context_length=text.context_length,
        vocab_size=text.vocab_size,
        n_layers=text.n_layers,
        hidden=text.hidden,
        ffn=text.ffn,
        n_heads=text.n_heads,
        n_kv_heads=text.n_kv_heads,
        head_dim=text.head_dim,
        rope_theta=text.rope_theta,
        mrope_section=text.mrope_section,
        n_deepstack_layers=len(config.vision.deepstack_layers),
        tied_embeddings=config.tie_word_embeddings,
        n_experts=moe.n_experts if moe else None,
        n_experts_used=moe.n_experts_used if moe else None,
    )


def text_of_gguf(info: GGUFInfo) -> TextFacts | None:
    """Take the facts from a language model's metadata; None for other files."""
    arch = info.architecture
    if arch not in _TEXT_ARCHITECTURES:
        return None
    tokens = info.metadata.get("tokenizer.ggml.tokens")
    sections = info.array(f"{arch}.rope.dimension_sections")
    is_moe = f"{arch}.expert_count" in info.metadata
    return TextFacts(
        context_length=info.integer(f"{arch}.context_length"),
        vocab_size=tokens.count if isinstance(tokens, GGUFArray) else 0,
        n_layers=info.integer(f"{arch}.block_count"),
        hidden=info.integer(f"{arch}.embedding_length"),
        ffn=info.integer(f"{arch}.feed_forward_length"),
        n_heads=info.integer(f"{arch}.attention.head_count"),
        n_kv_heads=info.integer(f"{arch}.attention.head_count_kv"),
        head_dim=info.integer(f"{arch}.attention.key_length"),
        rope_theta=info.number(f"{arch}.rope.freq_base"),
        mrope_section=tuple(int(part) for part in sections)[:3],  # the fourth is padding
        n_deepstack_layers=info.integer(f"{arch}.n_deepstack_layers"),
        tied_embeddings=all(tensor.name != "output.weight" for tensor in info.tensors),
        n_experts=info.integer(f"{arch}.expert_count") if is_moe else None,
        n_experts_used=info.integer(f"{arch}.expert_used_count") if is_moe else None,
    )


def vision_of_config(config: ModelConfig, limits: PreprocessorDefaults) -> VisionFacts:
    """Take the facts from config.json and the preprocessor files."""
    vision = config.vision
    return VisionFacts(
        n_layers=vision.n_layers,
        hidden=vision.hidden,
        ffn=vision.ffn,
        n_heads=vision.n_heads,
        projection_dim=vision.out_hidden,
        patch_size_px=vision.patch_size_px,
        spatial_merge=vision.spatial_merge,
        deepstack_layers=vision.deepstack_layers,
        image=ImageFacts.of(limits.image),
        video=limits.video,
    )


def vision_of_gguf(info: GGUFInfo) -> VisionFacts | None:
    """Take the facts from a projector's metadata; None for other files. Absent limits are the family's."""
    if info.architecture != "clip":
        return None
    taps = info.array("clip.vision.is_deepstack_layers")
    patch, merge = info.integer("clip.vision.patch_size"), info.integer("clip.vision.spatial_merge_size")
    image, video = _limits_of_gguf(info, patch * merge)
    is_padded = _UNPADDED_WIDTH in info.metadata
    return VisionFacts(
        n_layers=info.integer("clip.vision.block_count"),
        hidden=info.integer("clip.vision.embedding_length"),
        ffn=info.integer(_UNPADDED_WIDTH if is_padded else _WIDTH),
        n_heads=info.integer("clip.vision.attention.head_count"),
        projection_dim=info.integer("clip.vision.projection_dim"),
        patch_size_px=patch,
        spatial_merge=merge,
        deepstack_layers=tuple(i for i, tapped in enumerate(taps) if tapped),
        image=ImageFacts.of(image),
        video=video,
        ffn_padded=info.integer(_WIDTH) if is_padded else None,
    )


def _limits_of_gguf(info: GGUFInfo, factor: int) -> tuple[ImageLimits, VideoLimits]:
    """Read the limits that this package's converter stores; absent ones are the family's."""

    def stored(group: str, key: str) -> int | float | None:
        value = info.metadata.get(f"qwen3vl_edge.{group}.{key}")
        return value if isinstance(value, int | float) else None

    image, video = ImageLimits(factor=factor), VideoLimits(factor=factor)
    return (
        replace(
            image,
            min_pixels=int(stored("image", "min_pixels") or image.min_pixels),
            max_pixels=int(stored("image", "max_pixels") or image.max_pixels),
        ),
        replace(
            video,
            min_pixels=int(stored("video", "min_pixels") or video.min_pixels),
            max_pixels=int(stored("video", "max_pixels") or video.max_pixels),
            fps=float(stored("video", "fps") or video.fps),
            min_frames=int(stored("video", "min_frames") or video.min_frames),
            max_frames=int(stored("video", "max_frames") or video.max_frames),
        ),
    )
