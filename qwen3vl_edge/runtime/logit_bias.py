"""Finds the tokens that a logit bias names."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.model import TextModel

__all__ = ["resolve_biases"]


def resolve_biases(
    biases: Iterable[tuple[int | str, float]], model: TextModel
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give the ids of the tokens that `biases` name and what to add to their logits, shape (n,) each.

    A token that is named twice, be it once as text, has the later value.

    Raises:
        UsageError: A text is not exactly one token of `model`, or it has no token of an id.
    """
    found = {_token_id(token, model): bias for token, bias in biases}
    return np.array(list(found), np.int32), np.array(list(found.values()), np.float32)


def _token_id(token: int | str, model: TextModel) -> int:
    ids = [token] if isinstance(token, int) else model.tokenize(token, parse_special=False)
    if len(ids) != 1:
        raise UsageError(f"logit bias: {token!r:.60} is {len(ids)} tokens of this model; name a single one")
    if ids[0] >= model.n_vocab:
        raise UsageError(f"logit bias: there is no token {ids[0]}; this model has 0 to {model.n_vocab - 1}")
    return ids[0]
