"""Losses of several candidates on the same prompts: means, and how many times one's is another's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.quant.comparison.material import KINDS, Kind
from qwen3vl_edge.quant.comparison.observations import Answered, Observed, Prompt
from qwen3vl_edge.quant.comparison.statistics import Interval

__all__ = ["Sums", "mean", "ratio", "sums_of"]

_N_RESAMPLES, _SEED = 4000, 20260611


@dataclass(frozen=True)
class Sums:
    """KL divergence summed over the tokens of each sight or chunk, (n_clusters,) float64, and their number.

    ``changed`` is the share of answers that are not the reference's to the last token.
    """

    kl: Mapping[Kind, NDArray[np.float64]]
    n_tokens: Mapping[Kind, NDArray[np.float64]]
    changed: float


def sums_of(observations: Iterable[tuple[Prompt, Answered, Observed]]) -> Sums:
    """Sum up what was observed of a pair; clusters are in the order of the prompts."""
    kl: dict[Kind, dict[str, float]] = {kind: {} for kind in KINDS}
    n_tokens: dict[Kind, dict[str, float]] = {kind: {} for kind in KINDS}
    changed = []
    for prompt, answered, observed in observations:
        found, of = observed.divergence, prompt.cluster
        kl[prompt.kind][of] = kl[prompt.kind].get(of, 0.0) + float(found.kl.sum())
        n_tokens[prompt.kind][of] = n_tokens[prompt.kind].get(of, 0.0) + found.kl.size
        if prompt.question:
            changed.append(not np.array_equal(found.top_ids, answered.distributions.top_ids))
    return Sums(_arrays(kl), _arrays(n_tokens), float(np.mean(changed)))


def _arrays(values: Mapping[Kind, Mapping[str, float]]) -> dict[Kind, NDArray[np.float64]]:
    return {kind: np.array(list(of.values())) for kind, of in values.items()}


def mean(sums: Sums, kind: Kind) -> float:
    """Return the mean KL divergence a token on prompts of a kind."""
    return float(sums.kl[kind].sum() / sums.n_tokens[kind].sum())


def ratio(one: Sequence[Sums], other: Sequence[Sums], kind: Kind) -> Interval:
    """Return how many times `other`'s mean loss `one`'s is, the geometric mean over several pairs of them.

    The interval, of 95 %, is of a bootstrap in which whole sights are drawn, the same for both and for all
    pairs: what makes a prompt hard for both cancels (B. Efron and R. Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 8).

    Args:
        one: What was measured of some pairs.
        other: Of as many others, on the same prompts.
        kind: Of the prompts that count.
    """
    tops, bottoms = (np.stack([sums.kl[kind] for sums in side]) for side in (one, other))  # (pairs, clusters)
    n = tops.shape[1]
    draws = np.random.default_rng(_SEED).integers(0, n, (_N_RESAMPLES, n))
    found = np.array([_geometric(tops[:, draw], bottoms[:, draw]) for draw in draws])
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(_geometric(tops, bottoms), float(low), float(high))


def _geometric(tops: NDArray[np.float64], bottoms: NDArray[np.float64]) -> float:
    return float(np.exp(np.log(tops.sum(axis=1) / bottoms.sum(axis=1)).mean()))
