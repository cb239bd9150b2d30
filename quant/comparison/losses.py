"""From observations to figures: what a pair lost, by kind of prompt."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.quant.comparison.material import KINDS, Kind
from qwen3vl_edge.quant.comparison.observations import Answered, Observed, Prompt
from qwen3vl_edge.quant.comparison.statistics import Interval, clustered_mean, wilson

__all__ = ["Flip", "Flips", "Loss", "Losses", "sum_up"]

_N_EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost on one kind of prompt; KL divergence from the reference is in nats a token.

    ``kl`` is the mean with a 95 % interval over sights or chunks, ``tail_error`` the standard error of
    that mean that comes from what is not kept of the reference. ``same_top`` is the share of tokens at which
    both have the same likeliest token. Perplexities are of the reference's own answers, of captions
    where those were given, and of the text.
    """

    n_prompts: int
    n_tokens: int
    kl: Interval
    kl_median: float
    kl_99: float
    kl_max: float
    tail_error: float
    same_top: float
    perplexity: float
    reference_perplexity: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A short answer that became another."""

    sight: str
    question: str
    reference: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Flips:
    """What became of greedy answers.

    ``changed`` is the share of all that are not the same to the last token, ``flipped`` that of the short
    ones (three words at most) whose words differ; None where there are none.
    """

    n_answers: int
    n_changed: int
    changed: Interval | None
    n_short: int
    n_flipped: int
    flipped: Interval | None
    examples: tuple[Flip, ...]


@dataclass(frozen=True, slots=True)
class Losses:
    """Everything about one pair; a kind of which there was nothing is None."""

    text: Loss | None
    picture: Loss | None
    clip: Loss | None
    flips: Flips

    def of(self, kind: Kind) -> Loss | None:
        """Give the loss on a kind of prompt."""
        return {"text": self.text, "picture": self.picture, "clip": self.clip}[kind]

    @property
    def worst_kl(self) -> float:
        """The largest mean of any kind."""
        return max(loss.kl.value for kind in KINDS if (loss := self.of(kind)))


@dataclass(slots=True)
class _Tally:
    n_answers: int = 0
    n_changed: int = 0
    n_short: int = 0
    flips: list[Flip] = field(default_factory=list)

    def take(self, prompt: Prompt, answered: Answered, observed: Observed) -> None:
        if prompt.question is None or not answered.generated:
            return
        self.n_answers += 1
        same = np.array_equal(observed.divergence.top_ids, answered.distributions.top_ids)
        self.n_changed += not same
        if observed.text is None or not answered.is_short:
            return
        self.n_short += 1
        if _words(observed.text) != _words(answered.text):
            question = prompt.question
            self.flips.append(Flip(question.sight.name, question.text, answered.text, observed.text))

    def sum_up(self) -> Flips:
        changed = wilson(self.n_changed, self.n_answers) if self.n_answers else None
        flipped = wilson(len(self.flips), self.n_short) if self.n_short else None
        examples = tuple(self.flips[:_N_EXAMPLES])
        return Flips(
            self.n_answers, self.n_changed, changed, self.n_short, len(self.flips), flipped, examples
        )


@dataclass(slots=True)
class _Tokens:
    """Every token of one kind of prompt; lists of arrays, one a prompt."""

    clusters: list[str] = field(default_factory=list)
    kl: list[NDArray[np.float64]] = field(default_factory=list)
    errors: list[NDArray[np.float64]] = field(default_factory=list)
    same_top: list[NDArray[np.bool_]] = field(default_factory=list)
    logprobs: list[NDArray[np.float32]] = field(default_factory=list)
    reference_logprobs: list[NDArray[np.float32]] = field(default_factory=list)

    def take(self, prompt: Prompt, answered: Answered, observed: Observed) -> None:
        kept, found = answered.distributions, observed.divergence
        self.clusters.append(prompt.cluster)
        self.kl.append(found.kl)
        self.errors.append(found.error)
        self.same_top.append(found.top_ids == kept.top_ids)
        self.logprobs.append(found.token_logprobs)
        self.reference_logprobs.append(kept.token_logprobs)

    def sum_up(self) -> Loss:
        kl = np.concatenate(self.kl)
        by_cluster: dict[str, list[NDArray[np.float64]]] = {}
        for cluster, values in zip(self.clusters, self.kl, strict=True):
            by_cluster.setdefault(cluster, []).append(values)
        errors = np.concatenate(self.errors)
        return Loss(
            n_prompts=len(self.kl),
            n_tokens=kl.size,
            kl=clustered_mean([np.concatenate(values) for values in by_cluster.values()]),
            kl_median=float(np.median(kl)),
            kl_99=float(np.quantile(kl, 0.99)),
            kl_max=float(kl.max()),
            tail_error=float(np.sqrt((errors**2).sum()) / kl.size),
            same_top=float(np.concatenate(self.same_top).mean()),
            perplexity=_perplexity(self.logprobs),
            reference_perplexity=_perplexity(self.reference_logprobs),
        )


def sum_up(observations: Iterable[tuple[Prompt, Answered, Observed]]) -> Losses:
    """Turn what was observed of a pair into figures."""
    tokens: dict[Kind, _Tokens] = {}
    tally = _Tally()
    for observation in observations:
        tokens.setdefault(observation[0].kind, _Tokens()).take(*observation)
        tally.take(*observation)
    text, picture, clip = (tokens[kind].sum_up() if kind in tokens else None for kind in KINDS)
    return Losses(text, picture, clip, tally.sum_up())


def _perplexity(logprobs: Sequence[NDArray[np.float32]]) -> float:
    """Give exp of the mean negative log-probability."""
    return math.exp(-float(np.concatenate(logprobs).astype(np.float64).mean()))


def _words(text: str) -> list[str]:
    """Give the words of an answer, without case and punctuation."""
    return re.findall(r"\w+", text.casefold())
