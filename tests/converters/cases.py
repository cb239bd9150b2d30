"""The checkpoints of tests/golden/converters, by name."""

from pathlib import Path

from tests.tiny_checkpoint import write_tiny_checkpoint

__all__ = ["GOLDEN_CASES", "MODEL_JOBS", "PROJECTOR_JOBS", "write_case"]

GOLDEN_CASES = ("tied", "untied")
MODEL_JOBS = ("bf16", "f16", "f32", "q8_0")
PROJECTOR_JOBS = ("f16", "bf16", "f32")


def write_case(name: str, folder: Path) -> Path:
    """Write the checkpoint of this name into a folder of a fixed name, which the metadata repeats."""
    tied = name == "tied"
    return write_tiny_checkpoint(
        folder / "Tiny-Qwen3-VL",
        seed=0 if tied else 1,
        tied=tied,
        sharded=not tied,
        spelling="4.57" if tied else "5",
        dtype="BF16" if tied else "F32",
    )
