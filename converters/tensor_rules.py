"""Literal tables: which tensor of the checkpoint becomes which tensor of the GGUF files, in which shape.

Names on the right: gguf-py/gguf/constants.py (TENSOR_NAMES) and, for the projector,
conversion/qwen3vl.py of llama.cpp 0c1e57098.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["DENSE_RULES", "EXPERT_RULES", "MODEL_RULES", "PROJECTOR_RULES", "ROUTER_RULES", "Part", "Rule"]

Part = Literal["frame 0", "frame 1", "gate columns", "up columns", "gate rows", "up rows", "transposed"]
"""What a target takes of a source: a temporal slice of the patch embedding, a half of the fused experts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One tensor, or one for each layer where the names hold ``{n}`` (source) and ``{m}`` (target).

    `shape` names dimensions of the source, row-major, or gives them as numbers. Where the source
    holds ``{e}`` there is one tensor for each expert, stacked in the target. A tensor marked
    `unless_tied` may be absent when the output shares the input embeddings.
    """

    source: str
    target: str
    shape: tuple[str | int, ...]
    over: str = ""
    part: Part | None = None
    unless_tied: bool = False


_TEXT = "model.language_model"
_LAYER = f"{_TEXT}.layers.{{n}}"
_VISION = "model.visual"
_BLOCK = f"{_VISION}.blocks.{{n}}"
_MERGER = f"{_VISION}.merger"
_TAP = f"{_VISION}.deepstack_merger_list.{{n}}"

MODEL_RULES = (
    Rule(f"{_TEXT}.embed_tokens.weight", "token_embd.weight", ("vocab", "hidden")),
    Rule(f"{_TEXT}.norm.weight", "output_norm.weight", ("hidden",)),
    Rule("lm_head.weight", "output.weight", ("vocab", "hidden"), unless_tied=True),
    Rule(f"{_LAYER}.input_layernorm.weight", "blk.{m}.attn_norm.weight", ("hidden",), "layers"),
    Rule(f"{_LAYER}.self_attn.q_proj.weight", "blk.{m}.attn_q.weight", ("q", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.k_proj.weight", "blk.{m}.attn_k.weight", ("kv", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.v_proj.weight", "blk.{m}.attn_v.weight", ("kv", "hidden"), "layers"),
    Rule(f"{_LAYER}.self_attn.o_proj.weight", "blk.{m}.attn_output.weight", ("hidden", "q"), "layers"),
    Rule(f"{_LAYER}.self_attn.q_norm.weight", "blk.{m}.attn_q_norm.weight", ("head_dim",), "layers"),
    Rule(f"{_LAYER}.self_attn.k_norm.weight", "blk.{m}.attn_k_norm.weight", ("head_dim",), "layers"),
    Rule(f"{_LAYER}.post_attention_layernorm.weight", "blk.{m}.ffn_norm.weight", ("hidden",), "layers"),
)

DENSE_RULES = (
    Rule(f"{_LAYER}.mlp.gate_proj.weight", "blk.{m}.ffn_gate.weight", ("ffn", "hidden"), "layers"),
    Rule(f"{_LAYER}.mlp.up_proj.weight", "blk.{m}.ffn_up.weight", ("ffn", "hidden"), "layers"),
    Rule(f"{_LAYER}.mlp.down_proj.weight", "blk.{m}.ffn_down.weight", ("hidden", "ffn"), "layers"),
)

ROUTER_RULES = (
    Rule(f"{_LAYER}.mlp.gate.weight", "blk.{m}.ffn_gate_inp.weight", ("experts", "hidden"), "layers"),
)

_FUSED, _FUSED_DOWN = f"{_LAYER}.mlp.experts.gate_up_proj", f"{_LAYER}.mlp.experts.down_proj"
_ONE = f"{_LAYER}.mlp.experts.{{e}}"
_GATE, _UP, _DOWN = (f"blk.{{m}}.ffn_{part}_exps.weight" for part in ("gate", "up", "down"))
_IN_OUT, _OUT_IN = ("experts", "hidden", "expert_gate_up"), ("experts", "expert_gate_up", "hidden")

# Who saved the experts -> how. "4.57" is what is published; "separate" is how Qwen3's text models and
# llama.cpp's converter know them, one module for each expert.
EXPERT_RULES = {
    "4.57": (
        Rule(_FUSED, _GATE, _IN_OUT, "layers", "gate columns"),
        Rule(_FUSED, _UP, _IN_OUT, "layers", "up columns"),
        Rule(_FUSED_DOWN, _DOWN, ("experts", "expert_ffn", "hidden"), "layers", "transposed"),
    ),
    "5": (
        Rule(_FUSED, _GATE, _OUT_IN, "layers", "gate rows"),
        Rule(_FUSED, _UP, _OUT_IN, "layers", "up rows"),
        Rule(_FUSED_DOWN, _DOWN, ("experts", "hidden", "expert_ffn"), "layers"),
    ),
    "separate": (
        Rule(f"{_ONE}.gate_proj.weight", _GATE, ("expert_ffn", "hidden"), "layers"),
        Rule(f"{_ONE}.up_proj.weight", _UP, ("expert_ffn", "hidden"), "layers"),
        Rule(f"{_ONE}.down_proj.weight", _DOWN, ("hidden", "expert_ffn"), "layers"),
    ),
}

_PATCH = ("v_hidden", 3, 2, "patch", "patch")  # channels out, RGB, frames of a pair, height, width

PROJECTOR_RULES = (
    Rule(f"{_VISION}.patch_embed.proj.weight", "v.patch_embd.weight", _PATCH, part="frame 0"),
    Rule(f"{_VISION}.patch_embed.proj.weight", "v.patch_embd.weight.1", _PATCH, part="frame 1"),
    Rule(f"{_VISION}.patch_embed.proj.bias", "v.patch_embd.bias", ("v_hidden",)),
    Rule(f"{_VISION}.pos_embed.weight", "v.position_embd.weight", ("positions", "v_hidden")),
    Rule(f"{_BLOCK}.norm1.weight", "v.blk.{m}.ln1.weight", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm1.bias", "v.blk.{m}.ln1.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm2.weight", "v.blk.{m}.ln2.weight", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.norm2.bias", "v.blk.{m}.ln2.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.attn.qkv.weight", "v.blk.{m}.attn_qkv.weight", ("v_qkv", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.attn.qkv.bias", "v.blk.{m}.attn_qkv.bias", ("v_qkv",), "blocks"),
    Rule(f"{_BLOCK}.attn.proj.weight", "v.blk.{m}.attn_out.weight", ("v_hidden", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.attn.proj.bias", "v.blk.{m}.attn_out.bias", ("v_hidden",), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc1.weight", "v.blk.{m}.ffn_up.weight", ("v_ffn", "v_hidden"), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc1.bias", "v.blk.{m}.ffn_up.bias", ("v_ffn",), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc2.weight", "v.blk.{m}.ffn_down.weight", ("v_hidden", "v_ffn"), "blocks"),
    Rule(f"{_BLOCK}.mlp.linear_fc2.bias", "v.blk.{m}.ffn_down.bias", ("v_hidden",), "blocks"),
    Rule(f"{_MERGER}.norm.weight", "v.post_ln.weight", ("v_hidden",)),
    Rule(f"{_MERGER}.norm.bias", "v.post_ln.bias", ("v_hidden",)),
    Rule(f"{_MERGER}.linear_fc1.weight", "mm.0.weight", ("merged", "merged")),
    Rule(f"{_MERGER}.linear_fc1.bias", "mm.0.bias", ("merged",)),
    Rule(f"{_MERGER}.linear_fc2.weight", "mm.2.weight", ("hidden", "merged")),
    Rule(f"{_MERGER}.linear_fc2.bias", "mm.2.bias", ("hidden",)),
    Rule(f"{_TAP}.norm.weight", "v.deepstack.{m}.norm.weight", ("merged",), "taps"),
    Rule(f"{_TAP}.norm.bias", "v.deepstack.{m}.norm.bias", ("merged",), "taps"),
    Rule(f"{_TAP}.linear_fc1.weight", "v.deepstack.{m}.fc1.weight", ("merged", "merged"), "taps"),
    Rule(f"{_TAP}.linear_fc1.bias", "v.deepstack.{m}.fc1.bias", ("merged",), "taps"),
    Rule(f"{_TAP}.linear_fc2.weight", "v.deepstack.{m}.fc2.weight", ("hidden", "merged"), "taps"),
    Rule(f"{_TAP}.linear_fc2.bias", "v.deepstack.{m}.fc2.bias", ("hidden",), "taps"),
)
