"""The demo model with its hidden dimensions in another order: the same function, other blocks to quantize.

What one quantization of one small model loses is one draw of its rounding errors: Q4_K_M may come out worse
than Q4_K_S. Formats of ggml round blocks of 32 or 256 neighbours, so that a model whose neighbours are others
makes another draw. Its answers before quantizing are the same but for the order of sums.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from qwen3vl_edge.demo import CHECKPOINT

__all__ = ["write_replica"]

_WEIGHTS = "model.safetensors"
_VISION, _HEAD = 128, 64  # hidden values of the demo model's encoder, and of a head of either half

_Rng = Callable[[str], np.random.Generator]
_Order = NDArray[np.int64]
_RULES: Mapping[str, tuple[tuple[int, str], ...]] = {
    # end of a name -> (axis, what stands along it)
    "embed_tokens.weight": ((1, "residual"),),
    "language_model.norm.weight": ((0, "residual"),),
    "input_layernorm.weight": ((0, "residual"),),
    "post_attention_layernorm.weight": ((0, "residual"),),
    "q_proj.weight": ((1, "residual"),),
    "k_proj.weight": ((1, "residual"),),
    "v_proj.weight": ((0, "value"), (1, "residual")),
    "o_proj.weight": ((0, "residual"), (1, "value")),
    "gate_proj.weight": ((0, "hidden"), (1, "residual")),
    "up_proj.weight": ((0, "hidden"), (1, "residual")),
    "down_proj.weight": ((0, "residual"), (1, "hidden")),
    "merger.linear_fc1.weight": ((0, "hidden"), (1, "vision")),
    "merger.linear_fc1.bias": ((0, "hidden"),),
    "merger.linear_fc2.weight": ((0, "residual"), (1, "hidden")),
    "merger.linear_fc2.bias": ((0, "residual"),),
    "norm.weight": ((0, "vision"),),
    "norm.bias": ((0, "vision"),),
    "norm1.weight": ((0, "vision"),),
    "norm1.bias": ((0, "vision"),),
    "norm2.weight": ((0, "vision"),),
    "norm2.bias": ((0, "vision"),),
    "patch_embed.proj.weight": ((0, "vision"),),
    "patch_embed.proj.bias": ((0, "vision"),),
    "pos_embed.weight": ((1, "vision"),),
    "attn.qkv.weight": ((0, "qkv"), (1, "vision")),
    "attn.qkv.bias": ((0, "qkv"),),
    "attn.proj.weight": ((0, "vision"), (1, "value")),
    "attn.proj.bias": ((0, "vision"),),
    "mlp.linear_fc1.weight": ((0, "hidden"), (1, "vision")),
    "mlp.linear_fc1.bias": ((0, "hidden"),),
    "mlp.linear_fc2.weight": ((0, "vision"), (1, "hidden")),
    "mlp.linear_fc2.bias": ((0, "vision"),),
}
_UNCHANGED = ("q_norm.weight", "k_norm.weight")  # rotary embedding pairs these


def write_replica(folder: Path, number: int) -> Path:
    """Write the demo checkpoint with other orders, drawn by `number`; 0 is the checkpoint itself.

    What lies in `folder` from before is taken as it is.
    """
    if number == 0:
        return CHECKPOINT
    if folder.exists():
        return folder
    draft = folder.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(CHECKPOINT, draft)

    def rng(what: str) -> np.random.Generator:
        return np.random.default_rng([number, crc32(what.encode())])

    tensors = load_file(CHECKPOINT / _WEIGHTS)
    changed = {name: _reordered(name, tensor, rng) for name, tensor in tensors.items()}
    (draft / _WEIGHTS).unlink()
    save_file(changed, draft / _WEIGHTS, {"format": "pt"})
    return draft.rename(folder)


def _reordered(name: str, tensor: torch.Tensor, rng: _Rng) -> torch.Tensor:
    if name.endswith(_UNCHANGED):
        return tensor
    plain = re.sub(r"merger_list\.\d+\.", "merger.", name)  # DeepStack's are like the last one
    for axis, along in next(rule for end, rule in _RULES.items() if plain.endswith(end)):
        order = _order(along, name, tensor.shape[axis], rng)
        tensor = tensor.index_select(axis, torch.from_numpy(order))
    return tensor.contiguous()


def _order(along: str, name: str, length: int, rng: _Rng) -> _Order:
    """Give the order of what stands along an axis; the same wherever the same stands."""
    if along == "residual":
        return rng(along).permutation(length)
    if along == "vision":  # four neighbours stand one behind the other in a merger
        return _repeated(rng(along).permutation(_VISION), length)
    module = name.rsplit(".", 2)[0]
    if along == "hidden":
        return rng(module).permutation(length)
    heads = rng(f"{module} value").permutation(_HEAD)
    if along == "value":
        return _repeated(heads, length)
    kept = 2 * length // 3  # queries and keys
    return np.concatenate([np.arange(kept), kept + _repeated(heads, length - kept)])


def _repeated(order: _Order, length: int) -> _Order:
    return np.concatenate([order + start for start in range(0, length, order.size)])
