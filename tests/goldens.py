"""Where the golden files lie, and the seeded inputs that they were made from."""

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOLDEN", "digest", "fold_pads", "kl_divergence", "random_picture"]

GOLDEN = Path(__file__).parent / "golden"


def random_picture(seed: int) -> NDArray[np.uint8]:
    """Seeded noise of a seeded size; shape (height, width, 3)."""
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in np.exp(random.uniform(math.log(20), math.log(900), 2)))
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def digest(values: list[int] | list[str]) -> str:
    """Hash of a list, so that goldens stay small."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def fold_pads(text: str) -> str:
    """Write runs of vision pads as ``<|image_pad|>×64``."""
    return re.sub(
        r"(<\|(?:image|video)_pad\|>)\1*", lambda run: f"{run[1]}×{len(run[0]) // len(run[1])}", text
    )


def kl_divergence(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """KL(reference ‖ other) in nats of two rows of logits, shape (vocab_size,)."""
    p, q = (row.astype(np.float64) - row.max() for row in (reference, other))
    log_p, log_q = (row - np.log(np.exp(row).sum()) for row in (p, q))
    return float((np.exp(log_p) * (log_p - log_q)).sum())
