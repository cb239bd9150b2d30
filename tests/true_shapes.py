"""The six members of the family in their true sizes, with values from a seed or with none at all.

Sizes: the config.json of Qwen/Qwen3-VL-{2B,4B,8B,32B,30B-A3B,235B-A22B}-Instruct. Weights are written as
they are drawn, so that a checkpoint of many gigabytes needs no memory; they have random bits in every
place, so that it is no easier to read, hash or store than a trained one.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from tests.safetensors_files import to_stored, write_streamed
from tests.tiny_checkpoint import TinyShape, seeded_values, tensor_shapes, tiny_config, write_json
from tests.tiny_config import PREPROCESSOR, VIDEO_PREPROCESSOR, generation_config
from tests.tiny_tokenizer import FIRST_ADDED_ID, write_tiny_tokenizer

__all__ = [
    "TRUE_SHAPES",
    "two_layers",
    "write_hollow",
    "write_seeded",
    "write_true_config",
    "write_two_layers",
]

_QWEN_FIRST_ADDED_ID = 151643
_SHARD_BYTES = 5_000_000_000  # the hub's; the 2B fits in one file
_CHUNK_VALUES = 8 << 20

_2B = TinyShape(
    hidden=2048,
    ffn=6144,
    n_layers=28,
    n_heads=16,
    n_kv_heads=8,
    head_dim=128,
    mrope_section=(24, 20, 20),
    vocab_size=151936,
    context_length=262144,
    vision_hidden=1024,
    vision_ffn=4096,
    vision_layers=24,
    vision_heads=16,
    n_positions=2304,
    deepstack=(5, 11, 17),
)
_8B = replace(
    _2B,
    hidden=4096,
    ffn=12288,
    n_layers=36,
    n_heads=32,
    vision_hidden=1152,
    vision_ffn=4304,
    vision_layers=27,
    deepstack=(8, 16, 24),
)
_235B = replace(_8B, n_layers=94, n_heads=64, n_kv_heads=4, n_experts=128, n_experts_used=8, expert_ffn=1536)

TRUE_SHAPES = {
    "2B": _2B,
    "4B": replace(_2B, hidden=2560, ffn=9728, n_layers=36, n_heads=32),
    "8B": _8B,
    "32B": replace(_8B, hidden=5120, ffn=25600, n_layers=64, n_heads=64),
    "30B-A3B": replace(_235B, hidden=2048, ffn=6144, n_layers=48, n_heads=32, expert_ffn=768),
    "235B-A22B": _235B,
}
_TIED = frozenset({"2B", "4B"})


def write_true_config(name: str, folder: Path) -> Path:
    """Write the JSON files of a member, without weights and tokenizer, into `folder` (made if need be)."""
    _write_configs(folder, TRUE_SHAPES[name], tied=name in _TIED, first_added_id=_QWEN_FIRST_ADDED_ID)
    return folder


def write_hollow(name: str, folder: Path) -> Path:
    """Write a member with the tiny tokenizer and true headers; the weights are holes that take no disk."""
    _write_configs(folder, TRUE_SHAPES[name], tied=name in _TIED, first_added_id=FIRST_ADDED_ID)
    write_tiny_tokenizer(folder)
    _write_weights(folder, _weights(TRUE_SHAPES[name], tied=name in _TIED), seed=None)
    return folder


def write_seeded(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a member in full but for its tokenizer, in bfloat16: 2 bytes a weight."""
    write_true_config(name, folder)
    _write_weights(folder, _weights(TRUE_SHAPES[name], tied=name in _TIED), seed=seed)
    return folder


def write_two_layers(name: str, folder: Path, *, seed: int = 0, n_experts: int | None = None) -> Path:
    """Write a member cut as `two_layers` says, seeded, with the tiny tokenizer: 0.5 to 2.6 GB."""
    shape = two_layers(name, n_experts=n_experts)
    _write_configs(folder, shape, tied=name in _TIED, first_added_id=FIRST_ADDED_ID)
    write_tiny_tokenizer(folder)
    _write_weights(folder, _weights(shape, tied=name in _TIED), seed=seed)
    return folder


def two_layers(name: str, *, n_experts: int | None = None) -> TinyShape:
    """Return a member's true widths with two layers of text, three of vision and a tiny vocabulary.

    Of the three DeepStack layers one is left: llama.cpp aborts unless there are fewer of them than layers
    of text. Unless `n_experts` says otherwise all experts are kept, but those of the 235B: 128 of them
    are 4.8 GB a layer, so 16 have to do.
    """
    shape = TRUE_SHAPES[name]
    n_experts = n_experts or (16 if name == "235B-A22B" else shape.n_experts)
    return replace(
        shape,
        n_layers=2,
        vision_layers=3,
        deepstack=(1,),
        vocab_size=TinyShape().vocab_size,
        n_experts=n_experts,
        n_experts_used=min(shape.n_experts_used, n_experts) if n_experts else shape.n_experts_used,
    )


def _write_configs(folder: Path, shape: TinyShape, *, tied: bool, first_added_id: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", tiny_config(shape, tied=tied, first_added_id=first_added_id))
    write_json(folder / "generation_config.json", generation_config(first_added_id))
    limits = {"longest_edge": 16777216, "shortest_edge": 65536}
    write_json(folder / "preprocessor_config.json", PREPROCESSOR | {"size": limits})
    limits = {"longest_edge": 25165824, "shortest_edge": 4096}
    write_json(folder / "video_preprocessor_config.json", VIDEO_PREPROCESSOR | {"size": limits})


_Weights = dict[str, tuple[str, tuple[int, ...]]]


def _weights(shape: TinyShape, *, tied: bool) -> _Weights:
    """Give the tensors by name, in which order published files hold them: layer 10 before layer 2."""
    return {name: ("BF16", dims) for name, dims in sorted(tensor_shapes(shape, tied=tied).items())}


def _write_weights(folder: Path, weights: _Weights, *, seed: int | None) -> None:
    """Write one file, or shards and their index; without a seed, holes instead of values."""
    rng = None if seed is None else np.random.Generator(np.random.SFC64(seed))
    shards = _shards(weights)
    if len(shards) == 1:
        _write_file(folder / "model.safetensors", shards[0], rng)
        return
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        _write_file(folder / file, shard, rng)
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": sum(map(_n_bytes, weights.values()))}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _shards(weights: _Weights) -> list[_Weights]:
    shards: list[_Weights] = [{}]
    room = _SHARD_BYTES
    for name, weight in weights.items():
        room -= _n_bytes(weight)
        if room < 0 and shards[-1]:
            shards.append({})
            room = _SHARD_BYTES - _n_bytes(weight)
        shards[-1][name] = weight
    return shards


def _n_bytes(weight: tuple[str, tuple[int, ...]]) -> int:
    return 2 * prod(weight[1])


def _write_file(path: Path, weights: _Weights, rng: np.random.Generator | None) -> None:
    if rng is None:
        write_streamed(path, weights, lambda _: ())
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + sum(map(_n_bytes, weights.values())))
    else:
        write_streamed(path, weights, lambda name: _values(rng, name, weights[name][1]))


def _values(rng: np.random.Generator, name: str, dims: tuple[int, ...]) -> Iterator[memoryview]:
    """Draw one tensor in pieces, bfloat16."""
    if len(dims) == 1:  # norms must be near 1
        yield to_stored(seeded_values(rng, name, dims), "BF16").data
        return
    left = prod(dims)
    while left:
        values = _random_bf16(rng, min(left, _CHUNK_VALUES))
        left -= len(values)
        yield values.data


def _random_bf16(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw `n` bfloat16 from their bits: any sign and mantissa, 2^-12 to 2^-4 in size, 0.02 on average."""
    words = rng.integers(0, 1 << 64, -(-n // 4), np.uint64, endpoint=False)
    bits = words.view(np.uint16)[:n]
    bits &= np.uint16(0b1_00000111_1111111)
    bits += np.uint16(115 << 7)
    return bits
