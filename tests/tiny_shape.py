"""The sizes of a checkpoint and, from them, the published names and shapes of its tensors."""

from dataclasses import dataclass

__all__ = ["TinyShape", "tensor_shapes"]


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
    context_length: int = 4096
    vision_hidden: int = 80
    vision_ffn: int = 208  # 16 mod 32, like the 4304 of the family
    vision_layers: int = 5
    vision_heads: int = 5
    n_positions: int = 100  # 10 × 10
    deepstack: tuple[int, ...] = (0, 2, 3)
    n_experts: int = 0  # none: a dense model
    n_experts_used: int = 3
    expert_ffn: int = 96


def tensor_shapes(shape: TinyShape, *, tied: bool = True) -> dict[str, tuple[int, ...]]:
    """Return name -> row-major shape of every tensor; experts fused, as transformers 4.57 saves them."""
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
        **(_experts(shape, f"{prefix}.mlp") if shape.n_experts else _dense(shape, f"{prefix}.mlp")),
        f"{prefix}.post_attention_layernorm.weight": (hidden,),
        f"{prefix}.self_attn.k_norm.weight": (shape.head_dim,),
        f"{prefix}.self_attn.k_proj.weight": (kv, hidden),
        f"{prefix}.self_attn.o_proj.weight": (hidden, q),
        f"{prefix}.self_attn.q_norm.weight": (shape.head_dim,),
        f"{prefix}.self_attn.q_proj.weight": (q, hidden),
        f"{prefix}.self_attn.v_proj.weight": (kv, hidden),
    }


def _dense(shape: TinyShape, prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.down_proj.weight": (shape.hidden, shape.ffn),
        f"{prefix}.gate_proj.weight": (shape.ffn, shape.hidden),
        f"{prefix}.up_proj.weight": (shape.ffn, shape.hidden),
    }


def _experts(shape: TinyShape, prefix: str) -> dict[str, tuple[int, ...]]:
    n_experts, hidden, ffn = shape.n_experts, shape.hidden, shape.expert_ffn
    return {
        f"{prefix}.experts.down_proj": (n_experts, ffn, hidden),
        f"{prefix}.experts.gate_up_proj": (n_experts, hidden, 2 * ffn),
        f"{prefix}.gate.weight": (n_experts, hidden),
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
