"""The random clips on which planning is compared with the reference, made from their seeds."""

import math
from dataclasses import replace

import numpy as np

from qwen3vl_edge.clips import ClipOptions, Footage

__all__ = ["N_CASES", "random_clip"]

N_CASES = 1000
_RATES = (1.0, 7.5, 12.0, 15.0, 23.976, 24.0, 24000 / 1001, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 120.0)


def random_clip(seed: int) -> tuple[Footage, ClipOptions]:
    """Give a clip of any length and shape; every fourth is left to the defaults."""
    random = np.random.default_rng(seed)
    n_frames = int(np.exp(random.uniform(0, math.log(40_000))))
    height, width = (int(side) for side in np.exp(random.uniform(math.log(20), math.log(4000), 2)))
    footage = Footage(n_frames, float(random.choice(_RATES)), width, height)
    options = ClipOptions()
    if seed % 4 == 0:
        return footage, options
    start, end = (float(edge) for edge in sorted(random.uniform(-0.2, 1.2, 2).clip(0) * footage.duration_s))
    if random.random() < 0.4:
        options = replace(options, start_s=round(start, 3))
    if random.random() < 0.4:
        options = replace(options, end_s=round(end, 3))
    if random.random() < 0.4:
        options = replace(options, fps=float(random.choice([0.1, 0.5, 1.0, 3.0, 4.0, 10.0, 24.0])))
    elif random.random() < 0.5:
        n_surely_there = max(1, int((min(end, footage.duration_s) - start) * footage.fps) - 1)
        options = replace(options, n_frames=int(random.integers(1, min(n_surely_there, 800) + 1)))
    if random.random() < 0.5:
        options = replace(options, max_tokens=int(np.exp(random.uniform(math.log(16), math.log(40_000)))))
    if random.random() < 0.5:
        options = replace(options, max_frame_tokens=int(np.exp(random.uniform(0, math.log(4000)))))
    return footage, options
