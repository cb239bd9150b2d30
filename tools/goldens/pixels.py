"""Goldens of sizes and pixels, from transformers' own functions."""

import hashlib
import json
import math
from types import SimpleNamespace

import numpy as np
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor, smart_resize

from tests.goldens import GOLDEN, digest, random_picture

_FACTOR = 32


def main() -> None:
    """Write tests/golden/pixels.json and tests/golden/clips.json."""
    _write("pixels.json", [_picture(seed) for seed in range(200)])
    _write("clips.json", [_clip(seed) for seed in range(200)])


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


def _clip(seed: int) -> dict[str, object]:
    random = np.random.default_rng(seed)
    n_frames = int(np.exp(random.uniform(0, math.log(40_000))))
    fps = float(
        random.choice([1.0, 7.5, 12.0, 15.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 120.0])
    )
    height, width = (int(side) for side in np.exp(random.uniform(math.log(20), math.log(4000), 2)))
    settings = SimpleNamespace(fps=2, num_frames=None, min_frames=4, max_frames=768)
    metadata = SimpleNamespace(total_num_frames=n_frames, fps=fps)
    indices = Qwen3VLVideoProcessor.sample_frames(settings, metadata).tolist()
    # Qwen3VLVideoProcessor.resize with cap_pixels_per_frame, and the published size limits
    count = max(len(indices), 2)
    frame_pixels = max(min(768 * _FACTOR**2, 25_165_824 // count), int(4096 * 1.05))
    shown_height, shown_width = smart_resize(
        count, height, width, 2, _FACTOR, min_pixels=4096, max_pixels=frame_pixels * count
    )
    stamps = Qwen3VLProcessor._calculate_timestamps(None, indices, fps, 2)
    return {
        "footage": {"n_frames": n_frames, "fps": fps, "width": width, "height": height},
        "n_indices": len(indices),
        "indices_sha256": digest(indices),
        "stamps_sha256": digest([f"{stamp:.1f}" for stamp in stamps]),
        "width": shown_width,
        "height": shown_height,
    }


def _write(name: str, rows: list[dict[str, object]]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows)
    (GOLDEN / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
