"""Next-token distributions of the reference, kept small, and how far another model's are from them.

Kept of a distribution p are its likeliest tokens, until no more than `TAIL` of its mass is left or there
are `MOST_KEPT`, that rest's mass T, and `N_SAMPLES` tokens drawn from the rest with their p. Of

    KL(p‖q) = Σ p_i log(p_i / q_i)

the sum over the kept tokens is then exact. The rest of the sum is T · E[log(p_i / q_i)] over the tail. With
r = q_i / p_i it equals T · E[r - log r] - Q, for T · E[r] is the mass Q that q has in the tail, which is
known; and that form, estimated by the mean over the drawn tokens, is free of bias and errs little where
p and q are alike, since r - log r is flat at r = 1 (a control variate; J. Schulman, "Approximating KL
divergence", 2020). `Divergence.error` has the standard error of each estimate, so that it is stated, not
assumed. Lumping the tail into one token would give a bound from below (log-sum inequality), and what
that hides would not be known.

Log-probabilities are float32: half of that would be wrong by 0.004 at -10, more than Q8_0 costs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.scoring import Logits

__all__ = ["MOST_KEPT", "N_SAMPLES", "TAIL", "Distributions", "Divergence", "diverge", "keep", "log_softmax"]

TAIL = 1e-4
MOST_KEPT = 512
N_SAMPLES = 128


@dataclass(frozen=True, eq=False)
class Distributions:
    """The distributions at n positions.

    ``token_logprobs`` (n,) are of the tokens that came. Position i has ``counts[i]`` kept tokens, one
    position after the other in ``ids`` and ``logprobs``, the likeliest first; ``tail_mass`` (n,), and
    ``tail_ids`` and ``tail_logprobs`` (n, N_SAMPLES) are of the rest. Natural logarithms, float32.
    """

    token_logprobs: NDArray[np.float32]
    counts: NDArray[np.int32]
    ids: NDArray[np.uint32]
    logprobs: NDArray[np.float32]
    tail_mass: NDArray[np.float64]
    tail_ids: NDArray[np.uint32]
    tail_logprobs: NDArray[np.float32]

    @property
    def top_ids(self) -> NDArray[np.uint32]:
        """The likeliest token of each position, shape (n,)."""
        first: NDArray[np.uint32] = self.ids[np.cumsum(self.counts) - self.counts]
        return first

    @property
    def nbytes(self) -> int:
        """Memory of all."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


@dataclass(frozen=True, eq=False)
class Divergence:
    """How far a model is from the reference at n positions; each array has shape (n,).

    ``kl`` is in nats, ``error`` its standard error from the tail, ``token_logprobs`` are the model's of
    the tokens that came, ``top_ids`` its likeliest tokens.
    """

    kl: NDArray[np.float64]
    error: NDArray[np.float64]
    token_logprobs: NDArray[np.float32]
    top_ids: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class _Kept:
    ids: NDArray[np.uint32]
    logprobs: NDArray[np.float32]
    tail_mass: float
    tail_ids: NDArray[np.uint32]
    tail_logprobs: NDArray[np.float32]


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural log of the softmax, shape (n_vocab,) in and out; summed in float64."""
    shifted = logits - logits.max()
    result: NDArray[np.float32] = shifted - np.float32(np.log(np.exp(shifted, dtype=np.float64).sum()))
    return result


def keep(pieces: Iterable[Logits], tokens: Sequence[int], seed: int) -> Distributions:
    """Keep what `pieces` say, `tokens` being what came at each position.

    Args:
        pieces: Together of shape (len(tokens), n_vocab).
        tokens: Ids.
        seed: Of the tokens drawn from the tails.
    """
    random = np.random.default_rng(seed)
    kept: list[_Kept] = []
    token_logprobs: list[np.float32] = []
    for token, row in zip(tokens, _rows(pieces), strict=True):
        logprobs = log_softmax(row)
        token_logprobs.append(logprobs[token])
        kept.append(_keep_one(logprobs, random))
    return Distributions(
        np.array(token_logprobs, np.float32),
        np.array([one.ids.size for one in kept], np.int32),
        np.concatenate([one.ids for one in kept]),
        np.concatenate([one.logprobs for one in kept]),
        np.array([one.tail_mass for one in kept]),
        np.stack([one.tail_ids for one in kept]),
        np.stack([one.tail_logprobs for one in kept]),
    )


def diverge(reference: Distributions, pieces: Iterable[Logits], tokens: Sequence[int]) -> Divergence:
    """Compare a model's logits with the reference's at the same positions; see `keep`."""
    n = len(tokens)
    kl, error = np.zeros(n), np.zeros(n)
    own, top = np.zeros(n, np.float32), np.zeros(n, np.uint32)
    ends = np.cumsum(reference.counts)
    for i, (token, row) in enumerate(zip(tokens, _rows(pieces), strict=True)):
        logprobs = log_softmax(row)
        own[i], top[i] = logprobs[token], logprobs.argmax()
        part = slice(ends[i] - reference.counts[i], ends[i])
        p = reference.logprobs[part].astype(np.float64)
        ratios = p - logprobs[reference.ids[part]]
        logs = logprobs[reference.tail_ids[i]] - reference.tail_logprobs[i].astype(np.float64)
        hidden = np.exp(logs) - logs
        mass = reference.tail_mass[i]
        kl[i] = np.exp(p) @ ratios + mass * hidden.mean() - _tail_mass(logprobs, reference.ids[part])
        error[i] = mass * hidden.std(ddof=1) / np.sqrt(hidden.size)
    return Divergence(kl, error, own, top)


def _rows(pieces: Iterable[Logits]) -> Iterator[NDArray[np.float32]]:
    for piece in pieces:
        yield from piece


def _keep_one(logprobs: NDArray[np.float32], random: np.random.Generator) -> _Kept:
    most = min(MOST_KEPT, logprobs.size)
    likeliest = np.argpartition(-logprobs, most - 1)[:most]
    likeliest = likeliest[np.lexsort((likeliest, -logprobs[likeliest]))]  # of equals the first, as argmax
    left = 1.0 - np.cumsum(np.exp(logprobs[likeliest], dtype=np.float64))
    ids = likeliest[: int(np.argmax(left <= TAIL)) + 1 if left[-1] <= TAIL else most]
    rest, mass = _tail(logprobs, ids), _tail_mass(logprobs, ids)
    drawn = _draw(rest, mass, random) if mass > 0 else np.full(N_SAMPLES, ids[0], np.uint32)
    return _Kept(ids.astype(np.uint32), logprobs[ids], mass, drawn, logprobs[drawn])


def _tail(logprobs: NDArray[np.float32], ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """Give the probabilities, zero for `ids`; shape (n_vocab,)."""
    rest = np.exp(logprobs, dtype=np.float64)
    rest[ids] = 0.0
    return rest


def _tail_mass(logprobs: NDArray[np.float32], ids: NDArray[np.integer]) -> float:
    return float(_tail(logprobs, ids).sum())


def _draw(weights: NDArray[np.float64], mass: float, random: np.random.Generator) -> NDArray[np.uint32]:
    """Draw `N_SAMPLES` indices by their weights, one from each equal share of the mass."""
    shares = (np.arange(N_SAMPLES) + random.random(N_SAMPLES)) / N_SAMPLES
    found = np.searchsorted(np.cumsum(weights), shares * mass, side="right")
    drawn: NDArray[np.uint32] = np.minimum(found, np.flatnonzero(weights)[-1]).astype(np.uint32)
    return drawn
