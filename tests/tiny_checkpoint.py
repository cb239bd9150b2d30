"""A seeded, tiny Qwen3-VL checkpoint in Hugging Face layout, written with numpy alone.

Every dimension differs from every other, so that a swapped pair of axes cannot pass unseen.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.fp8 import Fp8, is_quantized, quantize
from tests.safetensors_files import Dtype, Stored, to_stored, write_shards, write_stored
from tests.tiny_config import PREPROCESSOR, VIDEO_PREPROCESSOR, Spelling, generation_config, tiny_config
from tests.tiny_moe import ExpertLayout, lay_out_experts
from tests.tiny_shape import TinyShape, tensor_shapes
from tests.tiny_tokenizer import FIRST_ADDED_ID, write_tiny_tokenizer

__all__ = [
    "MOE",
    "ExpertLayout",
    "Fp8",
    "Spelling",
    "TinyShape",
    "seeded_values",
    "tensor_shapes",
    "tiny_config",
    "tiny_tensors",
    "write_json",
    "write_tiny_checkpoint",
]

MOE = TinyShape(n_experts=11)
"""A mixture of experts; more than ten, so that by name and by number they have another order."""


def write_tiny_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    tied: bool = True,
    sharded: bool = False,
    spelling: Spelling = "4.57",
    dtype: Dtype | Literal["F8_E4M3"] = "BF16",
    shape: TinyShape | None = None,
    tokenizer: bool = True,
    first_added_id: int = FIRST_ADDED_ID,
    expert_layout: ExpertLayout = "4.57",
    fp8: Fp8 | None = None,
) -> Path:
    """Write the checkpoint into `folder` (made if need be) and return `folder`.

    Without `tokenizer` its files are left out; `first_added_id` is then where the added tokens of the
    one that takes its place begin. `fp8` says how F8_E4M3 is scaled; what is not quantized is BF16.
    """
    shape = shape or TinyShape()
    scheme = (fp8 or Fp8()) if dtype == "F8_E4M3" else None
    config = tiny_config(shape, tied=tied, spelling=spelling, first_added_id=first_added_id, fp8=scheme)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation_config())
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    write_json(folder / "video_preprocessor_config.json", VIDEO_PREPROCESSOR)
    if tokenizer:
        write_tiny_tokenizer(folder)
    tensors = lay_out_experts(tiny_tensors(shape, seed=seed, tied=tied), expert_layout)
    stored: dict[str, Stored] = {}
    for name, values in tensors.items():
        if scheme and is_quantized(name):
            stored |= quantize(name, values, scheme)
        else:
            kept: Dtype = "BF16" if dtype == "F8_E4M3" else dtype
            stored[name] = Stored(kept, to_stored(values, kept))
    if sharded:
        write_shards(folder, stored)
    else:
        write_stored(folder / "model.safetensors", stored)
    return folder


def tiny_tensors(shape: TinyShape, *, seed: int = 0, tied: bool = True) -> dict[str, NDArray[np.float32]]:
    """Return every tensor by its published name, float32: norms near 1, the rest near 0."""
    rng = np.random.default_rng(seed)
    return {name: seeded_values(rng, name, dims) for name, dims in tensor_shapes(shape, tied=tied).items()}


def seeded_values(rng: np.random.Generator, name: str, dims: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw one tensor."""
    values = rng.standard_normal(dims, dtype=np.float32) * np.float32(0.05)
    is_norm = "norm" in name and name.endswith(".weight")
    return values + np.float32(1.0) if is_norm else values


def write_json(path: Path, value: object) -> None:
    """Write `value` as the hub's files are written."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
