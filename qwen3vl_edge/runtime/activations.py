"""Sums of squares of what each weight is multiplied with, taken while llama.cpp computes.

The definition is llama-imatrix's (collect_imatrix in tools/imatrix/imatrix.cpp, llama.cpp 0c1e57098): for
each product of a weight with rows of activations, the squares of the rows are added up column by column,
and the rows are counted; of experts, each has its own sums and counts the rows that were sent to it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.graph_nodes import GraphNode, operations

__all__ = ["ActivationSums", "Collector", "SumsByName"]

_ROWS_AT_ONCE = 512  # summed in float32, the blocks in float64
_CHOSEN = 2  # operand of MUL_MAT_ID with the experts' numbers


@dataclass(frozen=True, slots=True, eq=False)
class ActivationSums:
    """What was collected for one weight.

    ``sums`` are of squares, float64, shape (experts or 1, row length); ``counts`` of rows, int64, shape
    (experts or 1,).
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def zero(cls, n_experts: int, row_len: int) -> "ActivationSums":
        """Give sums of nothing."""
        return cls(np.zeros((n_experts, row_len)), np.zeros(n_experts, np.int64))

    def add(self, other: "ActivationSums") -> None:
        """Add `other`, of the same shape, to these."""
        self.sums.__iadd__(other.sums)
        self.counts.__iadd__(other.counts)


SumsByName = Mapping[str, ActivationSums]
"""Name of the weight -> what it was multiplied with."""


class Collector:
    """Collects for the weights of these names; see `NodeObserver`.

    Args:
        weights: Names of tensors; products with others, as those inside attention, are passed over.
        in_place: False copies activations through ggml, as must be on a GPU, wherever they lie.
    """

    def __init__(self, weights: Collection[str], *, in_place: bool = True) -> None:
        self._weights = frozenset(weights)
        self._in_place = in_place
        self._operations = operations()
        self._collected: dict[str, ActivationSums] = {}
        self._fault: str | None = None
        self._inside = False

    def wants(self, node: int) -> bool:
        """Tell whether `node` multiplies with one of the weights."""
        product = GraphNode(node)
        if product.operation not in {self._operations.mul_mat, self._operations.mul_mat_id}:
            return False
        return product.source(0).name in self._weights and product.source(1).is_f32

    def take(self, node: int) -> None:
        """Add what `node` has multiplied with its weight."""
        if self._inside:
            return
        self._inside = True  # stays so after a fault: ctypes drops what is raised in a callback
        product = GraphNode(node)
        name, shape = product.source(0).name, product.source(0).shape
        rows = product.source(1).floats(in_place=self._in_place)
        if not rows.size:  # the last layer, where no token has logits
            self._inside = False
            return
        if product.operation == self._operations.mul_mat_id:
            new = _of_experts(rows, product.source(_CHOSEN).integers(), n_experts=shape[1])
        elif shape[:2] == (1, 1):
            new = _of_matrix(rows)
        else:
            self._fault = f"{name} is more than a matrix, which this model family does not have"
            return
        if not np.isfinite(new.sums).all():
            self._fault = f"what {name} is multiplied with is NaN or infinite; the model is damaged"
            return
        known = self._collected.get(name)
        if known is None:
            self._collected[name] = new
        else:
            known.add(new)
        self._inside = False

    def collected(self) -> SumsByName:
        """Give what was collected since this was last asked.

        Raises:
            EngineError: Activations are no numbers, or could not be read.
        """
        collected, self._collected = self._collected, {}
        if self._inside:
            fault, self._fault, self._inside = self._fault, None, False
            raise EngineError(fault or "the activations could not be read; see the message before")
        return collected


def _of_matrix(rows: NDArray[np.float32]) -> ActivationSums:
    """Sum the squares of `rows`, shape (n3, n2, n1, row length), whatever they are broadcast to."""
    added = ActivationSums.zero(1, rows.shape[-1])
    for matrix in rows.reshape(-1, *rows.shape[-2:]):
        for start in range(0, len(matrix), _ROWS_AT_ONCE):
            block = matrix[start : start + _ROWS_AT_ONCE]
            added.sums[0] += np.einsum("rc,rc->c", block, block)
        added.counts[0] += len(matrix)
    return added


def _of_experts(rows: NDArray[np.float32], chosen: NDArray[np.int32], *, n_experts: int) -> ActivationSums:
    """Sum the squares of the rows that each expert is given.

    Args:
        rows: Shape (1, tokens, 1 or chosen a token, row length): all experts of a token share its row, or
            each has its own.
        chosen: Numbers of experts, shape (1, 1, tokens, chosen a token).
        n_experts: Of the weight.
    """
    numbers, tokens = chosen[0, 0], rows[0]
    added = ActivationSums.zero(n_experts, rows.shape[-1])
    added.counts.__iadd__(np.bincount(numbers.reshape(-1), minlength=n_experts))
    n_at_once = max(_ROWS_AT_ONCE // tokens.shape[1], 1)
    for start in range(0, len(tokens), n_at_once):
        block = tokens[start : start + n_at_once]
        given = _given(numbers[start : start + n_at_once], n_experts, block.shape[1])
        added.sums.__iadd__(given @ np.square(block.reshape(-1, block.shape[-1])))
    return added


def _given(numbers: NDArray[np.int32], n_experts: int, rows_a_token: int) -> NDArray[np.float32]:
    """Count how often each expert is given each row, shape (n_experts, tokens · rows_a_token)."""
    n_tokens, n_chosen = numbers.shape
    of_row = np.arange(n_tokens)[:, None] * rows_a_token + np.arange(n_chosen) % rows_a_token
    given = np.zeros((n_experts, n_tokens * rows_a_token), np.float32)
    np.add.at(given, (numbers.reshape(-1), of_row.reshape(-1)), 1)
    return given
