"""A few rows of a tensor, spread evenly over it: errors are measured on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.checkpoint import to_float32
from qwen3vl_edge.quant.typed import Material

__all__ = ["Sample", "sample_rows", "sampled_bytes", "spread"]

_VALUES = 1 << 18
"""So many of a tensor tell its errors: their estimates then stray from the whole by one or two per cent."""
_LEAST_ROWS = 32
_MOST_EXPERTS = 8  # are read whole, one after the other


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a matrix, (rows, row length) float32; `expert` is the number of the one that they are of."""

    rows: NDArray[np.float32]
    expert: int = 0


def sample_rows(material: Material) -> Iterator[Sample]:
    """Read rows of a tensor: all of a small one, else one of each of equal stretches, by a fixed seed.

    Of stacked experts a few are looked at, spread likewise, each in part.

    Raises:
        CheckpointError, GGUFError: the source cannot be read.
    """
    rng = np.random.default_rng(crc32(material.name.encode()))
    n_rows = max(_LEAST_ROWS, _VALUES // material.shape[-1])
    if len(material.shape) == 2:
        yield Sample(_rows(material, spread(rng, material.shape[0], n_rows)))
        return
    experts = spread(rng, material.shape[0], _MOST_EXPERTS)
    for expert in experts:
        whole = _read(material, expert, expert + 1).reshape(-1, material.shape[-1])
        yield Sample(whole[spread(rng, len(whole), -(-n_rows // len(experts)))], expert)


def spread(rng: np.random.Generator, n: int, wanted: int) -> list[int]:
    """Return `wanted` of the numbers below `n`, ascending, one of each of equal stretches; all if so few."""
    if n <= wanted:
        return list(range(n))
    edges = np.linspace(0, n, wanted + 1).astype(int)
    return [int(rng.integers(first, end)) for first, end in pairwise(edges)]


def _rows(material: Material, numbers: list[int]) -> NDArray[np.float32]:
    if len(numbers) == material.shape[0]:
        return _read(material, 0, len(numbers))
    return np.concatenate([_read(material, i, i + 1) for i in numbers])


def _read(material: Material, start: int, stop: int) -> NDArray[np.float32]:
    """Read what the tensor takes of rows of the first dimension, shaped."""
    source = material.source
    part = material.cut.of(source.decode(source.read(start, stop)))
    values = to_float32(part, source.dtype)
    return values.reshape(stop - start, *material.shape[1:-1], material.shape[-1])


def sampled_bytes(material: Material) -> int:
    """Estimate the memory that looking at a tensor takes."""
    whole = len(material.shape) > 2
    read = prod(material.source.shape[1:]) if whole else min(_VALUES, prod(material.shape))
    return 16 * read
