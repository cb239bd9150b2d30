"""The vision MLP's hidden width, made to fit blocks by zeros that change nothing.

The 27-layer encoder has 4304 hidden values, which blocks of 32 do not divide. One more, whose row of
``ffn_up`` and bias are zero, is gelu(0) = 0, and the column of ``ffn_down`` that it meets is zero too:
the output is the same to the last bit (tests/quant/test_projector.py runs both).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant.wishes import Wishes
from qwen3vl_edge.writing.planned import PlannedTensor

__all__ = [
    "UNPADDED_KEY",
    "WIDTH_KEY",
    "added_columns",
    "hidden_width",
    "is_hidden_column",
    "of_projector",
    "padded_shape",
    "padded_width",
]

WIDTH_KEY = "clip.vision.feed_forward_length"
UNPADDED_KEY = "qwen3vl_edge.vision.unpadded_feed_forward_length"
"""Metadata of a padded projector: what the checkpoint's width was."""

_HIDDEN_ROWS = re.compile(r"v\.blk\.\d+\.ffn_up\.(weight|bias)")
_HIDDEN_COLUMNS = re.compile(r"v\.blk\.\d+\.ffn_down\.weight")


def padded_width(width: int, kind: TensorType) -> int:
    """Return the least width from `width` on whose rows are whole blocks of `kind`."""
    return -(-width // kind.block) * kind.block


def is_hidden_column(name: str) -> bool:
    """Tell whether the rows of the tensor `name` are as long as the MLP of the projector is wide."""
    return _HIDDEN_COLUMNS.fullmatch(name) is not None


def hidden_width(tensors: Sequence[PlannedTensor]) -> int:
    """Return how wide the MLP of a projector of these tensors is."""
    return next(tensor.shape[-1] for tensor in tensors if is_hidden_column(tensor.name))


def padded_shape(name: str, shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return the row-major shape of a projector's tensor whose MLP has `width` hidden values."""
    if _HIDDEN_ROWS.fullmatch(name):
        return (width, *shape[1:])
    return (*shape[:-1], width) if _HIDDEN_COLUMNS.fullmatch(name) else shape


def added_columns(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Return how many zeros end each row, given the shapes; a vector grows by rows."""
    return after[-1] - before[-1] if len(after) > 1 else 0


def of_projector(wishes: Wishes) -> Wishes:
    """Return the wishes as far as they are for a projector, whose recipe is one type for all."""
    return replace(wishes, pure=True, output_type=None, embedding_type=None)
