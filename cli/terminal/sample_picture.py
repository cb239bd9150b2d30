"""A picture for those who have none at hand: drawn here, nothing is carried."""

from pathlib import Path

import numpy as np

from qwen3vl_edge.cli.terminal.folders import private_folder

__all__ = ["draw_sample"]

_SIDE_PX, _RADIUS_PX = 256, 80
_RED, _WHITE = (220, 30, 30), (255, 255, 255)


def draw_sample(folder: Path) -> Path:
    """Write a red circle on white to `folder` as a PPM file (``netpbm``, P6) and give its path.

    Raises:
        OSError: It cannot be written.
    """
    rows, columns = np.indices((_SIDE_PX, _SIDE_PX)) - _SIDE_PX // 2
    inside = rows**2 + columns**2 <= _RADIUS_PX**2
    pixels = np.where(inside[..., None], _RED, _WHITE).astype(np.uint8)  # (side, side, 3)
    path = private_folder(folder) / "red_circle.ppm"
    path.write_bytes(f"P6 {_SIDE_PX} {_SIDE_PX} 255\n".encode() + pixels.tobytes())
    return path
