"""Pictures and clips drawn by code, seeded: the same on every machine, and no files to carry."""

from qwen3vl_edge.quant.calibration.drawing.films import N_FILMS, draw_film
from qwen3vl_edge.quant.calibration.drawing.sheets import N_PICTURES, draw_picture

__all__ = ["N_FILMS", "N_PICTURES", "draw_film", "draw_picture"]
