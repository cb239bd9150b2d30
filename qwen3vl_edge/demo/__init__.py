"""The small trained model that comes with the package, by the name ``demo``."""

import hashlib
import tempfile
from importlib.metadata import version
from pathlib import Path

from qwen3vl_edge.bundle import Bundle, find_bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.progress import SILENT, Progress

__all__ = ["CHECKPOINT", "DEMO_NAME", "demo_bundle"]

DEMO_NAME = "demo"
CHECKPOINT = Path(__file__).parent / "checkpoint"
"""The Hugging Face checkpoint; its README.md is the model card."""


def demo_bundle(cache_dir: Path, progress: Progress = SILENT) -> Bundle:
    """Give the demo model as Q8_0 language model and F16 projector, converted on first use.

    Args:
        cache_dir: Where conversions are kept, one for each version of checkpoint and package.
        progress: Told of the conversion.

    Raises:
        CheckpointError: The carried checkpoint is damaged.
        OSError: `cache_dir` cannot be written.
    """
    folder = cache_dir / f"demo-{_fingerprint()}"
    if folder.is_dir():  # complete: it came here by a rename
        return find_bundle(folder)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        made = Path(scratch) / "bundle"
        convert(CHECKPOINT, made, type="Q8_0", projector_type="f16", name=DEMO_NAME, progress=progress)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster; its conversion is the same
                raise
    return find_bundle(folder)


def _fingerprint() -> str:
    """Hash of everything that a conversion depends on."""
    digest = hashlib.blake2b(version("qwen3vl-edge").encode(), digest_size=6)
    for path in sorted(CHECKPOINT.iterdir()):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
