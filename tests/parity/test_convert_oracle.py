"""Conversion against llama.cpp's own converter: the same tensors to the byte, the same metadata."""

import filecmp
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.converters import MODEL_TYPES, PROJECTOR_TYPES, convert
from tests.converters.differences import PROJECTOR_DIFFERENCES
from tests.converters.listing import read_listing
from tests.safetensors_files import Dtype, write_safetensors
from tests.tiny_checkpoint import Spelling, TinyShape, tiny_tensors, write_tiny_checkpoint
from tools.oracle import CONVERT_SCRIPT, LLAMA_CPP, TOKENIZER

pytestmark = pytest.mark.parity

# The true vocabulary; q rows of 48 values, which Q8_0 cannot hold.
SHAPE = TinyShape(
    hidden=64, ffn=96, n_heads=2, n_kv_heads=1, head_dim=24, mrope_section=(4, 4, 4), vocab_size=151936
)
FIRST_ADDED_ID = 151643
TYPES = [name.lower() for name in MODEL_TYPES]
PROJECTOR_JOBS = [f"mmproj:{name}" for name in PROJECTOR_TYPES]
ALLOWED = {difference.key for difference in PROJECTOR_DIFFERENCES}

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
    name: str
    tied: bool
    spelling: Spelling
    dtype: Dtype
    sharded: bool = False
    strange_values: bool = False
    model_card: bool = False
    rms_norm_eps: float = 1e-6


CASES = (
    Case("Qwen3-VL-2B-Instruct", tied=True, spelling="4.57", dtype="BF16", model_card=True),
    Case("untied-shards", tied=False, spelling="4.57", dtype="F32", sharded=True),
    Case("tied-5", tied=True, spelling="5", dtype="F16", rms_norm_eps=1e-5),
    Case("untied-5-strange", tied=False, spelling="5", dtype="F32", strange_values=True),
)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    case: Case = request.param
    folder = write_tiny_checkpoint(
        tmp_path_factory.mktemp("checkpoint") / case.name,
        tied=case.tied,
        spelling=case.spelling,
        dtype=case.dtype,
        sharded=case.sharded,
        shape=SHAPE,
        tokenizer=False,
        first_added_id=FIRST_ADDED_ID,
    )
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder)
    if case.model_card:
        (folder / "README.md").write_text(MODEL_CARD, encoding="utf-8")
    if case.strange_values:
        write_safetensors(folder / "model.safetensors", _strange_tensors(tied=case.tied), case.dtype)
    _set_rms_norm_eps(folder / "config.json", case.rms_norm_eps)
    return folder


@pytest.fixture(scope="module")
def theirs(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that llama.cpp's converter makes of the checkpoint."""
    if not LLAMA_CPP.is_dir():
        pytest.fail("build/oracle is missing: run tools/oracle.py")
    return run_oracle(checkpoint, tmp_path_factory.mktemp("theirs"), [*TYPES, *PROJECTOR_JOBS])


def run_oracle(checkpoint: Path, out: Path, jobs: list[str], *options: str) -> Path:
    command = [sys.executable, str(CONVERT_SCRIPT), str(checkpoint), str(out), *jobs, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.parametrize("kind", TYPES)
def test_language_model_is_the_same_file(checkpoint: Path, theirs: Path, tmp_path: Path, kind: str) -> None:
    ours = convert(checkpoint, tmp_path, type=kind).model
    if not filecmp.cmp(ours, theirs / f"model-{kind}.gguf", shallow=False):
        assert read_listing(ours) == read_listing(theirs / f"model-{kind}.gguf")
        pytest.fail("same content, other bytes")


@pytest.mark.parametrize("kind", PROJECTOR_TYPES)
def test_projector_has_the_same_content(checkpoint: Path, theirs: Path, tmp_path: Path, kind: str) -> None:
    ours = read_listing(convert(checkpoint, tmp_path, projector_type=kind).projector)
    expected = read_listing(theirs / f"mmproj-{kind}.gguf")
    assert ours.tensors == expected.tensors
    assert list(ours.tensors) == list(expected.tensors)
    keys = (ours.metadata.keys() | expected.metadata.keys()) - ALLOWED
    assert {key: ours.metadata.get(key) for key in keys} == {key: expected.metadata.get(key) for key in keys}


def _strange_tensors(*, tied: bool) -> dict[str, np.ndarray]:
    """NaNs of every kind, infinities, subnormals, ties and values beyond float16, in rows of their own."""
    tensors = tiny_tensors(SHAPE, seed=3, tied=tied)
    nans = np.array([0x7FC00000, 0x7F800001, 0xFF800001, 0xFFFFFFFF, 0x7FBFFFFF], dtype=np.uint32)
    ties = np.array([0x3F808000, 0x3F818000, 0x3F80FFFF, 0xBF808000, 0x7F7FFFFF], dtype=np.uint32)
    plain = np.array([np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 6e-8, 65504, 65520, -1e38], dtype=np.float32)
    special = np.concatenate([nans.view(np.float32), ties.view(np.float32), plain])
    for name in ("model.language_model.layers.0.mlp.up_proj.weight", "model.visual.blocks.0.attn.qkv.weight"):
        tensors[name][: len(special), 0] = special  # one to a row, so that one block has one of them
        tensors[name][-1, :] = 0  # a block without any value
    return tensors


def _set_rms_norm_eps(path: Path, value: float) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["rms_norm_eps"] = value
    path.write_text(json.dumps(config), encoding="utf-8")
