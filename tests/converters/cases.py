"""The checkpoints of tests/golden/converters, by name."""

from dataclasses import dataclass, replace
from pathlib import Path

from tests.fp8 import Fp8
from tests.safetensors_files import Dtype
from tests.tiny_checkpoint import MOE, ExpertLayout, Spelling, TinyShape, write_tiny_checkpoint

__all__ = ["GOLDEN_CASES", "MODEL_JOBS", "SHALLOW", "SHALLOW_MOE", "GoldenCase", "write_case"]

MODEL_JOBS = ("bf16", "f16", "f32", "q8_0")

SHALLOW = TinyShape(n_layers=3, vision_layers=3, deepstack=(0, 2))
SHALLOW_MOE = replace(MOE, n_layers=3, vision_layers=3, deepstack=(0, 2))


@dataclass(frozen=True)
class GoldenCase:
    """A checkpoint, and the types in which its projector was converted."""

    shape: TinyShape
    tied: bool = True
    sharded: bool = False
    spelling: Spelling = "4.57"
    dtype: Dtype = "BF16"
    fp8: Fp8 | None = None
    expert_layout: ExpertLayout = "4.57"
    projector_jobs: tuple[str, ...] = ("f16",)
    seed: int = 0


# In shallow checkpoints blocks of 128 and of (32, 48) are cut at the edges, and a block of 128 holds
# columns of both gate and up.
GOLDEN_CASES = {
    "tied": GoldenCase(TinyShape(), projector_jobs=("f16", "bf16", "f32")),
    "untied": GoldenCase(
        TinyShape(),
        tied=False,
        sharded=True,
        spelling="5",
        dtype="F32",
        projector_jobs=("f16", "bf16", "f32"),
        seed=1,
    ),
    "moe": GoldenCase(SHALLOW_MOE, tied=False, sharded=True, seed=2),
    "fp8": GoldenCase(SHALLOW, tied=False, fp8=Fp8((32, 48), "F32"), seed=3),
    "moe-fp8": GoldenCase(SHALLOW_MOE, tied=False, fp8=Fp8((128, 128), "BF16"), seed=4),
}


def write_case(case: GoldenCase, folder: Path) -> Path:
    """Write the checkpoint of a case into a folder of a fixed name, which the metadata repeats."""
    return write_tiny_checkpoint(
        folder / "Tiny-Qwen3-VL",
        seed=case.seed,
        tied=case.tied,
        sharded=case.sharded,
        spelling=case.spelling,
        dtype="F8_E4M3" if case.fp8 else case.dtype,
        shape=case.shape,
        expert_layout=case.expert_layout,
        fp8=case.fp8,
    )
