"""An importance matrix at the tensors of a plan."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import UsageError, join_problems
from qwen3vl_edge.quant.wishes import Choice

__all__ = ["Importance", "importance_of", "refuse_missing_importance"]

Importance = Mapping[str, NDArray[np.float32]]
"""Tensor name -> (experts or 1, row length)."""


def importance_of(name: str, shape: tuple[int, ...], importance: Importance) -> NDArray[np.float32] | None:
    """Return the importance of a tensor of this row-major shape; columns that were padded get the mean."""
    found = importance.get(name)
    if found is None or found.shape[-1] == shape[-1]:
        return found
    columns = ((0, 0), (0, shape[-1] - found.shape[-1]))
    return np.pad(found, columns, mode="mean").astype(np.float32)


def refuse_missing_importance(wanted: str, choices: Mapping[str, Choice], importance: Importance) -> None:
    """Refuse types that are garbage, or end the process, without an importance.

    Args:
        wanted: what the user has asked for, which `choices` are of.
        choices: by tensor.
        importance: by tensor, as far as there is any.

    Raises:
        UsageError: naming the tensors.
    """
    needing = [name for name, choice in choices.items() if choice.needs_imatrix and name not in importance]
    if needing:
        raise UsageError(
            f"{wanted} needs an importance matrix with {join_problems(needing, 3)}; "
            "give one with --imatrix, or choose another type"
        )
