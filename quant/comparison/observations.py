"""What is known of one prompt after a model has read it, and how it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.quant.comparison.distributions import Distributions, Divergence
from qwen3vl_edge.quant.comparison.material import Kind, Question

__all__ = ["Answered", "Observed", "Prompt"]

_SHORT_WORDS, _SHORT_TOKENS = 3, 16
"""An answer of so many at most can flip: it is right or wrong as a whole. Tokens, for where words have no
spaces between them."""

Record = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Prompt:
    """A question, or the chunk of the passage with this number."""

    question: Question | None
    chunk: int = 0

    @property
    def kind(self) -> Kind:
        """Text, picture or clip."""
        return self.question.sight.kind if self.question else "text"

    @property
    def cluster(self) -> str:
        """What the prompts that hang together have in common: the sight; chunks stand alone."""
        return self.question.sight.identity if self.question else f"chunk {self.chunk}"


@dataclass(frozen=True, eq=False)
class Answered:
    """What the reference said after a prompt, ``tokens``, and its distributions at each of them.

    ``generated`` is false where the text was given.
    """

    tokens: tuple[int, ...]
    text: str
    generated: bool
    distributions: Distributions

    @property
    def is_short(self) -> bool:
        """Whether this is an answer that can flip."""
        few = len(self.tokens) <= _SHORT_TOKENS and len(self.text.split()) <= _SHORT_WORDS
        return self.generated and few and bool(self.text.strip())

    def record(self) -> Record:
        """Give this as arrays."""
        arrays: Record = {each.name: getattr(self.distributions, each.name) for each in fields(Distributions)}
        tokens, generated = np.array(self.tokens, np.int32), np.array(self.generated)
        return arrays | {"tokens": tokens, "text": _bytes(self.text), "generated": generated}

    @classmethod
    def of(cls, record: Mapping[str, NDArray[np.generic]]) -> "Answered":
        """Take this from its arrays."""
        kept = Distributions(
            token_logprobs=record["token_logprobs"].astype(np.float32),
            counts=record["counts"].astype(np.int32),
            ids=record["ids"].astype(np.uint32),
            logprobs=record["logprobs"].astype(np.float32),
            tail_mass=record["tail_mass"].astype(np.float64),
            tail_ids=record["tail_ids"].astype(np.uint32),
            tail_logprobs=record["tail_logprobs"].astype(np.float32),
        )
        tokens = tuple(record["tokens"].astype(np.int64).tolist())
        return cls(tokens, _text(record["text"]), bool(record["generated"]), kept)


@dataclass(frozen=True, eq=False)
class Observed:
    """A candidate at the same tokens; ``text`` is its own greedy answer where the reference's is short."""

    divergence: Divergence
    text: str | None

    def record(self) -> Record:
        """Give this as arrays."""
        arrays: Record = {each.name: getattr(self.divergence, each.name) for each in fields(Divergence)}
        return arrays if self.text is None else arrays | {"text": _bytes(self.text)}

    @classmethod
    def of(cls, record: Mapping[str, NDArray[np.generic]]) -> "Observed":
        """Take this from its arrays."""
        divergence = Divergence(
            kl=record["kl"].astype(np.float64),
            error=record["error"].astype(np.float64),
            token_logprobs=record["token_logprobs"].astype(np.float32),
            top_ids=record["top_ids"].astype(np.uint32),
        )
        return cls(divergence, _text(record["text"]) if "text" in record else None)


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _text(data: NDArray[np.generic]) -> str:
    return data.tobytes().decode("utf-8", "replace")
