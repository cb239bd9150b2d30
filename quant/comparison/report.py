"""The result of a comparison as a value, and its JSON form; `saved` reads that."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from qwen3vl_edge.quant.comparison.losses import Losses
from qwen3vl_edge.runtime.speed import Speed

__all__ = [
    "FORMAT_VERSION",
    "CandidateReport",
    "Comparison",
    "FileFacts",
    "Halves",
    "MaterialFacts",
    "PairFacts",
]

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file (a split model: its parts together) and where its weights come from, as far as is known.

    ``source`` is the checkpoint and ``recipe`` what was asked of the quantizer, by the manifest.
    """

    name: str
    type: str
    size_bytes: int
    identity: str
    source: str | None
    recipe: str | None


@dataclass(frozen=True, slots=True)
class PairFacts:
    """A pair of files; ``bpw`` is bits a weight over the tensors of both."""

    name: str
    model: FileFacts
    projector: FileFacts
    size_bytes: int
    bpw: float
    speed: Speed | None


@dataclass(frozen=True, slots=True)
class Halves:
    """What the files of a candidate cost: together, and each alone beside the reference's other one.

    A half is None where the candidate's file is the reference's own: it costs nothing.
    """

    both: Losses
    model: Losses | None
    projector: Losses | None


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """A candidate: its files, its losses, and what else is to be said."""

    pair: PairFacts
    losses: Halves
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaterialFacts:
    """What was asked; ``drawn`` says that the pictures, clips and text were this package's own."""

    n_pictures: int
    n_picture_prompts: int
    n_clips: int
    n_clip_prompts: int
    n_chunks: int
    chunk_tokens: int
    answer_tokens: int
    text: str | None
    drawn: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything.

    ``kept_bytes`` is what is kept of the reference's distributions, ``left_out`` tells which
    pictures and clips could not be read or did not fit the context, and why.
    """

    reference: PairFacts
    candidates: tuple[CandidateReport, ...]
    material: MaterialFacts
    versions: Mapping[str, str]
    created: str
    kept_bytes: int
    left_out: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, object]:
        """Give the object that ``--json`` prints; an interval without an end has null there."""
        found = _endless_as_null(asdict(self))
        if not isinstance(found, dict):
            raise TypeError("a dataclass is an object")
        return found


def _endless_as_null(value: object) -> object:
    if isinstance(value, dict):
        return {key: _endless_as_null(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_endless_as_null(each) for each in value]
    return None if isinstance(value, float) and abs(value) == float("inf") else value
