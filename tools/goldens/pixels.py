"""Goldens of sizes and pixels, from transformers' own functions."""

import hashlib
import json

import numpy as np
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.goldens import GOLDEN, random_picture

_FACTOR = 32


def main() -> None:
    """Write tests/golden/pixels.json."""
    _write("pixels.json", [_picture(seed) for seed in range(200)])


def _picture(seed: int) -> dict[str, object]:
    pixels = random_picture(seed)
    limits = {"shortest_edge": 4096 << (seed % 3 * 2), "longest_edge": 65536 << (seed % 4)}
    resized = Qwen2VLImageProcessorPil().resize(
        pixels.transpose(2, 0, 1), SizeDict(**limits), PILImageResampling.BICUBIC, factor=_FACTOR
    )
    shown = np.ascontiguousarray(resized.transpose(1, 2, 0))
    return {
        "seed": seed,
        "min_pixels": limits["shortest_edge"],
        "max_pixels": limits["longest_edge"],
        "shape": shown.shape,
        "sha256": hashlib.sha256(shown).hexdigest(),
    }


def _write(name: str, rows: list[dict[str, object]]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows)
    (GOLDEN / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
