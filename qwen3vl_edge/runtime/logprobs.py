"""Log-probabilities of chosen and likeliest tokens."""

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.engine import Candidate, TokenLogprob
from qwen3vl_edge.runtime.model import TextModel

__all__ = ["token_logprob"]


def token_logprob(
    model: TextModel, logits: NDArray[np.float32], token: int, n_candidates: int | None
) -> TokenLogprob | None:
    """Give the log-probability of `token` and of the `n_candidates` likeliest; None where None are wanted.

    Args:
        model: Spells the tokens.
        logits: Shape (n_vocab,), before temperature and filters.
        token: The chosen one.
        n_candidates: How many to list beside it.
    """
    if n_candidates is None:
        return None
    logprobs = _log_softmax(logits)
    best = np.argsort(-logprobs, kind="stable")[:n_candidates]
    chosen = _candidate(model, token, logprobs)
    top = tuple(_candidate(model, int(index), logprobs) for index in best)
    return TokenLogprob(chosen.token, chosen.id, chosen.logprob, top)


def _candidate(model: TextModel, token: int, logprobs: NDArray[np.float64]) -> Candidate:
    text = model.piece(token).decode("utf-8", "replace") or model.text(token)
    return Candidate(text, token, float(logprobs[token]))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural log of the softmax, shape (n_vocab,) in and out."""
    shifted = logits.astype(np.float64) - logits.max()
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return result
