"""Goldens of the next token's logits: transformers in float32 on the tiny checkpoint and the demo model."""

import tempfile
from pathlib import Path

import numpy as np

from qwen3vl_edge.demo import CHECKPOINT
from tests.goldens import GOLDEN
from tests.parity.reference import Reference
from tests.prompts import conversations
from tests.tiny_checkpoint import write_tiny_checkpoint


def main() -> None:
    """Write tests/golden/logits-tiny.npz and logits-demo.npz: one float32 row a conversation."""
    with tempfile.TemporaryDirectory() as folder:
        _write("tiny", write_tiny_checkpoint(Path(folder) / "tiny"))
    _write("demo", CHECKPOINT)


def _write(name: str, checkpoint: Path) -> None:
    reference = Reference(checkpoint)
    rows = {
        title: reference.next_logits(reference.prompt(messages))
        for title, messages in conversations().items()
    }
    np.savez_compressed(GOLDEN / f"logits-{name}.npz", **rows)


if __name__ == "__main__":
    main()
