"""Conversion against llama.cpp's own converter: the same tensors to the byte, the same metadata."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.converters import MODEL_TYPES, PROJECTOR_TYPES, convert
from tests.fp8 import Fp8
from tests.parity.oracle import assert_same_file, run_oracle
from tests.safetensors_files import Dtype, write_safetensors
from tests.tiny_checkpoint import ExpertLayout, Spelling, TinyShape, tiny_tensors, write_tiny_checkpoint
from tools.oracle import TOKENIZER

pytestmark = pytest.mark.parity

# The true vocabulary; q rows of 48 values and experts of 40, which Q8_0 cannot hold.
SHAPE = TinyShape(
    hidden=64, ffn=96, n_heads=2, n_kv_heads=1, head_dim=24, mrope_section=(4, 4, 4), vocab_size=151936
)
MOE = replace(SHAPE, n_experts=11, expert_ffn=40)
FIRST_ADDED_ID = 151643
TYPES = tuple(name.lower() for name in MODEL_TYPES)
PROJECTOR_JOBS = tuple(f"mmproj:{name}" for name in PROJECTOR_TYPES)

MODEL_CARD = """---
license: apache-2.0
pipeline_tag: image-text-to-text
library_name: transformers
language:
- en
base_model:
- Qwen/Qwen3-VL-2B-Instruct
tags:
- demo
---
# A card
"""


@dataclass(frozen=True)
class Case:
    """A checkpoint, and what is made of it; `strange_up_to` is the largest of its strange values."""

    name: str
    tied: bool
    spelling: Spelling
    dtype: Dtype
    sharded: bool = False
    strange_up_to: float = 0
    model_card: bool = False
    rms_norm_eps: float = 1e-6
    shape: TinyShape = SHAPE
    expert_layout: ExpertLayout = "4.57"
    fp8: Fp8 | None = None
    jobs: tuple[str, ...] = (*TYPES, *PROJECTOR_JOBS)


CASES = (
    Case("Qwen3-VL-2B-Instruct", tied=True, spelling="4.57", dtype="BF16", model_card=True),
    Case("untied-shards", tied=False, spelling="4.57", dtype="F32", sharded=True),
    Case("tied-5", tied=True, spelling="5", dtype="F16", rms_norm_eps=1e-5),
    Case("strange", tied=False, spelling="5", dtype="F32", strange_up_to=65519),
    Case(  # a block's scale, its largest value / 127, is an F16 number
        "strange-q8_0", tied=True, spelling="5", dtype="F32", strange_up_to=8.3e6, jobs=("q8_0",)
    ),
    Case(
        "strange-bf16",
        tied=True,
        spelling="5",
        dtype="F32",
        strange_up_to=3.39e38,
        jobs=("bf16", "f32", "mmproj:bf16", "mmproj:f32"),
    ),
    Case("moe", tied=False, spelling="4.57", dtype="BF16", sharded=True, shape=MOE),
    Case("separate", tied=False, spelling="4.57", dtype="F32", shape=MOE, expert_layout="separate"),
    Case("fp8", tied=True, spelling="4.57", dtype="BF16", fp8=Fp8((32, 48), "F32")),
    Case("moe-fp8", tied=False, spelling="4.57", dtype="BF16", shape=MOE, fp8=Fp8((48, 32), "BF16")),
    Case(
        "separate-fp8",
        tied=False,
        spelling="4.57",
        dtype="BF16",
        sharded=True,
        shape=MOE,
        expert_layout="separate",
        fp8=Fp8((32, 24), "F32"),
    ),
)


@dataclass(frozen=True)
class Converted:
    """A checkpoint, and the folder of what llama.cpp's converter made of it."""

    checkpoint: Path
    theirs: Path


@pytest.fixture(scope="module")
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    case: Case = request.param
    folder = write_tiny_checkpoint(
        tmp_path_factory.mktemp("checkpoint") / case.name,
        tied=case.tied,
        spelling=case.spelling,
        dtype="F8_E4M3" if case.fp8 else case.dtype,
        sharded=case.sharded,
        shape=case.shape,
        tokenizer=False,
        first_added_id=FIRST_ADDED_ID,
        expert_layout=case.expert_layout,
        fp8=case.fp8,
    )
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder)
    if case.model_card:
        (folder / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    if case.strange_up_to:
        tensors = _strange_tensors(case.strange_up_to, tied=case.tied)
        write_safetensors(folder / "model.safetensors", tensors, case.dtype)
    _set_rms_norm_eps(folder / "config.json", case.rms_norm_eps)
    return Converted(folder, run_oracle(folder, tmp_path_factory.mktemp("theirs"), case.jobs))


@pytest.mark.parametrize(
    ("converted", "job"),
    [pytest.param(case, job, id=f"{case.name}-{job}") for case in CASES for job in case.jobs],
    indirect=["converted"],
)
def test_the_same_file(converted: Converted, job: str, tmp_path: Path) -> None:
    kind = job.removeprefix("mmproj:")
    if kind == job:
        ours = convert(converted.checkpoint, tmp_path, type=kind).model
        assert_same_file(ours, converted.theirs / f"model-{kind}.gguf")
    else:
        ours = convert(converted.checkpoint, tmp_path, projector_type=kind).projector
        assert_same_file(ours, converted.theirs / f"mmproj-{kind}.gguf")


def _strange_tensors(largest: float, *, tied: bool) -> dict[str, np.ndarray]:
    """Subnormals, ties of bfloat16 and float16, zeros of both signs, large values, in rows of their own."""
    tensors = tiny_tensors(SHAPE, seed=3, tied=tied)
    ties = np.array([0x3F808000, 0x3F818000, 0x3F80FFFF, 0xBF808000, 0x3F801000, 0x3F803000], dtype=np.uint32)
    plain = [0.0, -0.0, 1e-45, -1e-40, 1e-38, 6e-8, -3e-8, 2.0**-25, 1e-5, largest, -largest, largest / 3]
    special = np.concatenate([ties.view(np.float32), np.array(plain, dtype=np.float32)])
    for name in ("model.language_model.layers.0.mlp.up_proj.weight", "model.visual.blocks.0.attn.qkv.weight"):
        tensors[name][: len(special), 0] = special  # one to a row, so that one block has one of them
        tensors[name][-1, :] = 0  # a block without any value
        tensors[name][-2, :] = np.float32(1e-45)  # and one whose scale is zero
    return tensors


def _set_rms_norm_eps(path: Path, value: float) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["rms_norm_eps"] = value
    path.write_text(json.dumps(config), encoding="utf-8")
