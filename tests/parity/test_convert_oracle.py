"""Conversion against llama.cpp's own converter: the same tensors to the byte, the same metadata."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.converters import convert
from tests.fp8 import Fp8
from tests.parity.oracle import assert_same_file, run_oracle
from tests.safetensors_files import Dtype, read_stored, write_safetensors, write_stored
from tests.tiny_checkpoint import ExpertLayout, Spelling, TinyShape, tiny_tensors, write_tiny_checkpoint
from tests.tiny_tokenizer import FIRST_ADDED_ID
from tools.oracle import TOKENIZER

MODEL_TYPES = ("bf16", "f16", "f32", "Q8_0")
PROJECTOR_TYPES = ("f16", "bf16", "f32")

pytestmark = pytest.mark.parity

# q rows of 48 values and experts of 40, which Q8_0 cannot hold
SHAPE = TinyShape(hidden=64, ffn=96, n_heads=2, n_kv_heads=1, head_dim=24, mrope_section=(4, 4, 4))
MOE = replace(SHAPE, n_experts=11, expert_ffn=40)
TRUE_VOCABULARY = replace(SHAPE, vocab_size=151936)
TRUE_FIRST_ADDED_ID = 151643
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
    """A checkpoint, and what is made of it.

    `strange_up_to` is the largest of its strange values; `by_dtype`: the file holds its tensors in the
    order in which the safetensors library writes them.
    """

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
    by_dtype: bool = False
    jobs: tuple[str, ...] = (*TYPES, *PROJECTOR_JOBS)

    @property
    def is_true_vocabulary(self) -> bool:
        return self.shape.vocab_size == TRUE_VOCABULARY.vocab_size


CASES = (
    Case(
        "Qwen3-VL-2B-Instruct",
        tied=True,
        spelling="4.57",
        dtype="BF16",
        model_card=True,
        shape=TRUE_VOCABULARY,
        jobs=("bf16", "q8_0", "mmproj:f16"),  # gguf's reader takes seconds for each
    ),
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
    Case("fp8", tied=True, spelling="4.57", dtype="BF16", fp8=Fp8((32, 48), "F32"), by_dtype=True),
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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_files(case: Case, tmp_path: Path, subtests: pytest.Subtests) -> None:
    checkpoint = _write(case, tmp_path / case.name)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    run_oracle(checkpoint, theirs, case.jobs, *(() if case.is_true_vocabulary else ("--any-vocab",)))
    for job in case.jobs:
        kind = job.removeprefix("mmproj:")
        with subtests.test(job=job):
            if kind == job:
                ours = convert(checkpoint, tmp_path / job, type=kind, projector_type="f32").model
                assert_same_file(ours, theirs / f"model-{kind}.gguf")
            else:
                ours = convert(checkpoint, tmp_path / job, type="f32", projector_type=kind).projector
                assert_same_file(ours, theirs / f"mmproj-{kind}.gguf")


def _write(case: Case, folder: Path) -> Path:
    write_tiny_checkpoint(
        folder,
        tied=case.tied,
        spelling=case.spelling,
        dtype="F8_E4M3" if case.fp8 else case.dtype,
        sharded=case.sharded,
        shape=case.shape,
        tokenizer=not case.is_true_vocabulary,
        first_added_id=TRUE_FIRST_ADDED_ID if case.is_true_vocabulary else FIRST_ADDED_ID,
        expert_layout=case.expert_layout,
        fp8=case.fp8,
    )
    for file in TOKENIZER.iterdir() if case.is_true_vocabulary else ():
        shutil.copy(file, folder)
    if case.model_card:
        (folder / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    if case.strange_up_to:
        tensors = _strange_tensors(case.strange_up_to, tied=case.tied)
        write_safetensors(folder / "model.safetensors", tensors, case.dtype)
    if case.by_dtype:
        tensors_by_name = read_stored(folder / "model.safetensors")
        in_order = sorted(tensors_by_name.items(), key=lambda item: (-item[1].values.itemsize, item[0]))
        write_stored(folder / "model.safetensors", dict(in_order))
    _set_rms_norm_eps(folder / "config.json", case.rms_norm_eps)
    return folder


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
