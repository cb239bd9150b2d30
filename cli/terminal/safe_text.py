"""Text of several lines from models and files, made harmless for a terminal."""

import re

from qwen3vl_edge.cli.plain_text import escaped

__all__ = ["safe", "well_formed"]


def safe(text: str) -> str:
    r"""Return `text` with its line ends and tabs, and other control characters written out (``\x1b``)."""
    return "".join(piece if piece in "\n\t" else escaped(piece) for piece in re.split("([\n\t])", text))


def well_formed(text: str) -> str:
    """Return `text` without halves of surrogate pairs: bytes of a terminal that were no valid text."""
    return text.encode("utf-8", "replace").decode("utf-8")
