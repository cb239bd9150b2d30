"""The small trained model that comes with the package, by the name ``demo``."""

import hashlib
from pathlib import Path

from qwen3vl_edge.bundle import Bundle, find_bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.progress import SILENT, Progress

__all__ = ["CHECKPOINT", "DEMO_NAME", "demo_bundle"]

DEMO_NAME = "demo"
CHECKPOINT = Path(__file__).parent / "checkpoint"
"""The Hugging Face checkpoint; its README.md is the model card."""


def demo_bundle(cache_dir: Path, progress: Progress = SILENT) -> Bundle:
    """Give the demo model as Q8_0 language model and F16 projector, converted on first use.

    Args:
        cache_dir: Where conversions are kept; a changed checkpoint is converted anew.
        progress: Told of the conversion.

    Raises:
        CheckpointError: The carried checkpoint is damaged.
    """
    weights = (CHECKPOINT / "model.safetensors").read_bytes()
    folder = cache_dir / f"demo-{hashlib.blake2b(weights, digest_size=6).hexdigest()}"
    try:
        return find_bundle(folder)
    except EdgeError:  # not there yet, or an earlier run was cut off
        return convert(
            CHECKPOINT,
            folder,
            type="Q8_0",
            projector_type="f16",
            name=DEMO_NAME,
            progress=progress,
            overwrite=True,
        )
