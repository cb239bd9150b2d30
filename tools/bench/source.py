"""Writes the checkpoint that conversion is measured on: ``python -m tools.bench.source FOLDER``."""

import sys
from pathlib import Path

from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

# About 0.8 GB in bf16: long enough to be measured, short enough to be run often.
LARGE = TinyShape(
    hidden=1024,
    ffn=4096,
    n_layers=20,
    n_heads=16,
    n_kv_heads=8,
    head_dim=128,
    mrope_section=(24, 20, 20),
    vision_hidden=768,
    vision_ffn=3088,
    vision_layers=12,
    vision_heads=12,
    n_positions=2304,
    deepstack=(2, 5, 8),
)

if __name__ == "__main__":
    write_tiny_checkpoint(Path(sys.argv[1]), shape=LARGE)
