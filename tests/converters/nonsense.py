"""An opinion of its own on converted files: what no sound conversion can have written.

Read with gguf's reader and the safetensors package, neither of which the converter uses for this.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from gguf import GGUFReader, ReaderField
from gguf.quants import dequantize
from safetensors import deserialize

from qwen3vl_edge.checkpoint import Checkpoint

__all__ = ["nonsense_in_model", "nonsense_in_projector", "nonsense_in_reading"]

# key of the metadata -> smallest and largest value that makes sense; keys of the model after its architecture
PLAUSIBLE = {
    "context_length": (1, 1 << 24),
    "rope.freq_base": (1, 1e12),
    "attention.layer_norm_rms_epsilon": (1e-13, 0.1),
    "block_count": (1, 512),
    "general.sampling.temp": (0, 100),
    "general.sampling.top_p": (1e-7, 1),
    "general.sampling.min_p": (0, 1),
    "general.sampling.top_k": (0, 2**31 - 1),
    "general.sampling.penalty_repeat": (0.009, 100),
    "clip.vision.block_count": (1, 512),
    "clip.vision.spatial_merge_size": (2, 2),
    "clip.vision.image_size": (16, 8192),
    "clip.vision.image_mean": (0, 1),
    "clip.vision.image_std": (0.0009, 1),
    "qwen3vl_edge.image.min_pixels": (1, 1 << 40),
    "qwen3vl_edge.image.max_pixels": (32 * 32, 1 << 40),
    "qwen3vl_edge.video.min_pixels": (1, 1 << 40),
    "qwen3vl_edge.video.max_pixels": (32 * 32, 1 << 40),
    "qwen3vl_edge.video.fps": (0.009, 1000),
    "qwen3vl_edge.video.min_frames": (1, 1 << 20),
    "qwen3vl_edge.video.max_frames": (1, 1 << 20),
}
_CONTROL, _UNUSED = 3, 5
_SPECIAL = ("bos", "eos", "unknown", "seperator", "padding", "cls", "mask")


def nonsense_in_reading(folder: Path) -> list[str]:
    """Compare our reading of the weights with the safetensors package's: names, dtypes, shapes, values."""
    checkpoint = Checkpoint.open(folder)
    theirs = {
        name: (item["dtype"], tuple(item["shape"]), bytes(item["data"]))
        for shard in checkpoint.shards
        for name, item in deserialize(shard.read_bytes())
    }
    ours = {ref.name: (ref.dtype, ref.shape, ref.read().tobytes()) for ref in checkpoint.tensors}
    return [
        f"{name!r} reads otherwise" for name in ours.keys() | theirs if ours.get(name) != theirs.get(name)
    ]


def nonsense_in_model(path: Path) -> list[str]:
    """Name what is wrong with a language model's file."""
    reader = GGUFReader(path)
    arch = _value(reader, "general.architecture")
    shapes = {tensor.name: tuple(int(dim) for dim in tensor.shape) for tensor in reader.tensors}
    hidden, head = (_value(reader, f"{arch}.{key}") for key in ("embedding_length", "attention.key_length"))
    heads, kv_heads = (_value(reader, f"{arch}.attention.{key}") for key in ("head_count", "head_count_kv"))
    wanted = {
        "token_embd.weight": (hidden, len(_value(reader, "tokenizer.ggml.tokens"))),
        "output_norm.weight": (hidden,),
        "blk.0.attn_q.weight": (hidden, heads * head),
        "blk.0.attn_k.weight": (hidden, kv_heads * head),
        "blk.0.attn_q_norm.weight": (head,),
    }
    sections = _value(reader, f"{arch}.rope.dimension_sections")
    n_blocks = len({name.split(".")[1] for name in shapes if name.startswith("blk.")})
    checks = {
        "shapes": all(shapes.get(name) == dims for name, dims in wanted.items()),
        "heads": heads % kv_heads == 0,
        "sections": len(sections) == 4 and min(sections[:3]) > 0 and 2 * sum(sections) == head,
        "blocks": n_blocks == _value(reader, f"{arch}.block_count"),
        "experts": _experts_make_sense(reader, arch),
    }
    return [*_failed(checks), *_failed(_vocabulary(reader)), *_common(reader, f"{arch}.")]


def nonsense_in_projector(path: Path, hidden: int) -> list[str]:
    """Name what is wrong with a projector's file; `hidden` of the language model beside it."""
    reader = GGUFReader(path)
    shapes = {tensor.name: tuple(int(dim) for dim in tensor.shape) for tensor in reader.tensors}
    width, side = _value(reader, "clip.vision.embedding_length"), _value(reader, "clip.vision.patch_size")
    grid, heads = (
        _value(reader, "clip.vision.image_size") // side,
        _value(reader, "clip.vision.attention.head_count"),
    )
    taps = _value(reader, "clip.vision.is_deepstack_layers")
    low, high = (_value(reader, f"qwen3vl_edge.image.{end}_pixels") for end in ("min", "max"))
    checks = {
        "hidden": hidden == _value(reader, "clip.vision.projection_dim") == shapes["mm.2.weight"][1],
        "patches": shapes["v.patch_embd.weight"] == (side, side, 3, width),
        "positions": shapes["v.position_embd.weight"] == (width, grid**2),
        "heads": width % heads == 0 and width // heads % 4 == 0,
        "taps": len(taps) == _value(reader, "clip.vision.block_count"),
        "deepstack": all((f"v.deepstack.{i}.fc2.weight" in shapes) == tap for i, tap in enumerate(taps))
        and sum(taps) == sum(name.endswith("fc2.weight") for name in shapes),
        "pixels": low <= high,
    }
    return [*_failed(checks), *_common(reader)]


def _vocabulary(reader: GGUFReader) -> dict[str, bool]:
    tokens, types = (_value(reader, f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
    kinds = dict(zip(tokens, types, strict=True))
    ids = [
        _value(reader, f"tokenizer.ggml.{kind}_token_id")
        for kind in _SPECIAL
        if f"tokenizer.ggml.{kind}_token_id" in reader.fields
    ]
    pairs = [tuple(merge.split(" ")) for merge in _value(reader, "tokenizer.ggml.merges")]
    used = [token for token in tokens if kinds[token] != _UNUSED]
    return {
        "tokens are unique and can be told apart": len(kinds) == len(tokens) and all(tokens),
        "no NUL in tokens": not any("\0" in token for token in tokens),
        "padding is at the end": used == list(tokens[: len(used)]) and len(used) >= 256,
        "special ids": all(types[i] == _CONTROL for i in ids if i < len(types))
        and all(i < len(types) for i in ids),
        "there is an end": "tokenizer.ggml.eos_token_id" in reader.fields,
        "vision tokens": all(kinds.get(f"<|{name}|>") == _CONTROL for name in ("image_pad", "vision_start")),
        "merges": all(len(pair) == 2 and {*pair, "".join(pair)} <= kinds.keys() for pair in pairs),
        "template": "\0" not in str(_value(reader, "tokenizer.chat_template", "")),
    }


def _experts_make_sense(reader: GGUFReader, arch: str) -> bool:
    n_experts = _value(reader, f"{arch}.expert_count", 0)
    used = _value(reader, f"{arch}.expert_used_count", 0)
    return (
        (arch == "qwen3vlmoe") == (n_experts > 0)
        and (n_experts == 0) == (used == 0)
        and used <= n_experts <= 1024
    )


def _common(reader: GGUFReader, prefix: str = "") -> Iterator[str]:
    """Numbers within their ranges, tensors one after another, all values finite, strings without NUL."""
    for key, (least, most) in PLAUSIBLE.items():
        for full in {key, prefix + key} & reader.fields.keys():
            numbers = np.atleast_1d(_value(reader, full))
            if not np.all((numbers >= least) & (numbers <= most)):
                yield f"{full} is {numbers}"
    for before, after in pairwise(reader.tensors):
        if before.data_offset + before.n_bytes > after.data_offset:
            yield f"{after.name} overlaps"
    for tensor in reader.tensors:
        if not np.isfinite(dequantize(tensor.data, tensor.tensor_type)).all():
            yield f"{tensor.name} is not finite"


def _failed(checks: dict[str, bool]) -> list[str]:
    return [what for what, holds in checks.items() if not holds]


def _value(reader: GGUFReader, key: str, default: object = None):  # noqa: ANN202 -- whatever the key holds
    field: ReaderField | None = reader.get_field(key)
    return default if field is None else field.contents()
