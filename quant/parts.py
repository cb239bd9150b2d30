"""The parts of a model that recipes tell apart, by tensor name: what is quantized at all, and in which order.

Source: tensor_get_category and tensor_allows_quantization in src/llama-quant.cpp, weight_name_comparer in
src/llama-model-loader.h, llama.cpp 0c1e57098. Names that no Qwen3-VL file has are left out.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

__all__ = ["Part", "layer_of", "part_of", "reading_order", "why_kept"]


class Part(StrEnum):
    """A kind of tensor that recipes have rules for."""

    TOKEN_EMBD = "token_embd"  # noqa: S105 -- not a password
    OUTPUT = "output"
    ATTN_V = "attn_v"
    ATTN_K = "attn_k"
    ATTN_Q = "attn_q"
    ATTN_OUTPUT = "attn_output"
    FFN_UP = "ffn_up"
    FFN_GATE = "ffn_gate"
    FFN_DOWN = "ffn_down"
    OTHER = "other"


_WHOLE_NAMES = {"output.weight": Part.OUTPUT, "token_embd.weight": Part.TOKEN_EMBD}
_PIECES = {
    "attn_qkv.weight": Part.ATTN_V,  # of the vision encoder; it counts as the part that it hurts most
    "attn_v.weight": Part.ATTN_V,
    "attn_k.weight": Part.ATTN_K,
    "attn_q.weight": Part.ATTN_Q,
    "attn_output.weight": Part.ATTN_OUTPUT,
    "ffn_up": Part.FFN_UP,  # experts too: ffn_up_exps
    "ffn_gate": Part.FFN_GATE,
    "ffn_down": Part.FFN_DOWN,
}
_KEPT = {
    "_norm.weight": "norm",
    "ffn_gate_inp.weight": "router of the experts",
    ".position_embd": "learned positions",
    ".patch_embd": "patch embedding",
}
_LAYER = re.compile(r"blk\.([0-9]+)\.")


def part_of(name: str) -> Part:
    """Tell which part a tensor of this name is."""
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    return next((part for piece, part in _PIECES.items() if piece in name), Part.OTHER)


def why_kept(name: str, shape: Sequence[int]) -> str | None:
    """Say why a tensor of this name and row-major shape keeps its type; None: it is quantized."""
    for piece, what in _KEPT.items():
        if piece in name:
            return what
    if not name.endswith("weight"):
        return "not a weight"
    return None if any(length > 1 for length in shape[:-1]) else "one dimension"


def layer_of(name: str) -> int:
    """Return the layer of the language model that a tensor of this name is in, -1 for none."""
    found = _LAYER.match(name)
    return int(found[1]) if found else -1


def reading_order(name: str) -> tuple[int, str]:
    """Sort key of the order in which llama.cpp goes through the tensors: the recipes count on it."""
    return layer_of(name), name
