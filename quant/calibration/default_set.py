"""What a model is shown when nothing is named: pictures and clips drawn by code, prose and code of our own.

Everything in it was made for this package: there is no text and no picture of others in it.
"""

from functools import partial
from importlib.resources import files

from qwen3vl_edge.images import Picture
from qwen3vl_edge.messages import Content
from qwen3vl_edge.quant.calibration.pieces import Piece, spread_questions
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["DEFAULT_SET", "TEXTS", "default_clips", "default_pictures", "default_text"]

DEFAULT_SET = "qwen3vl-edge default set 1"
"""Its name in files; the number grows when anything in it changes."""

TEXTS = ("prose.txt", "languages.txt", "code.txt", "dialogues.txt")
"""Files of the package, in the order in which they are read."""


def default_text() -> str:
    """Give the prose, the other languages, the code and the dialogues, in this order."""
    folder = files("qwen3vl_edge.quant.calibration") / "texts"
    return "\n".join((folder / name).read_text("utf-8") for name in TEXTS)


def default_pictures() -> list[Piece]:
    """Ask about each picture that is drawn."""
    from qwen3vl_edge.quant.calibration.drawing import N_PICTURES  # noqa: PLC0415 -- loads OpenCV

    named = [(f"drawn picture {n}", DEFAULT_SET, partial(_picture, n)) for n in range(N_PICTURES)]
    return list(spread_questions("picture", named))


def default_clips() -> list[Piece]:
    """Ask about each clip that is drawn."""
    from qwen3vl_edge.quant.calibration.drawing import N_FILMS  # noqa: PLC0415 -- loads OpenCV

    named = [(f"drawn clip {n}", DEFAULT_SET, partial(_clip, n)) for n in range(N_FILMS)]
    return list(spread_questions("clip", named))


def _picture(number: int, info: EngineInfo) -> Content:
    from qwen3vl_edge.quant.calibration.drawing import draw_picture  # noqa: PLC0415 -- loads OpenCV

    return Picture(draw_picture(number, info.image_limits), f"drawn picture {number}")


def _clip(number: int, info: EngineInfo) -> Content:
    from qwen3vl_edge.quant.calibration.drawing import draw_film  # noqa: PLC0415 -- loads OpenCV

    return draw_film(number, info.video_limits, f"drawn clip {number}")
