"""What is compared: pairs of files, whole or with one half swapped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.bundle import Bundle, find_bundle, find_bundles, language_models, verify_pair
from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import MANIFEST_NAME
from qwen3vl_edge.quant.imatrix_kind import is_imatrix
from qwen3vl_edge.runtime.file_identity import model_identity, projector_identity

__all__ = [
    "Half",
    "Pair",
    "candidate_pair",
    "candidate_pairs",
    "check_comparable",
    "pair_of",
    "unique_names",
]

Half = Literal["both", "model", "projector"]
"""Which files of a candidate stand in the reference's place."""

_CLIP = "clip"
_BITS = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of files, and what tells its halves from others."""

    name: str
    bundle: Bundle
    model: GGUFInfo
    projector: GGUFInfo
    model_id: str
    projector_id: str

    @property
    def size_bytes(self) -> int:
        """Bytes of both files."""
        return self.model.size_bytes + self.projector.size_bytes

    @property
    def bpw(self) -> float:
        """Bits a weight, over the tensors of both files; headers and vocabulary are not counted."""
        tensors = (*self.model.tensors, *self.projector.tensors)
        return _BITS * sum(tensor.nbytes for tensor in tensors) / sum(tensor.n_elements for tensor in tensors)

    def with_half(self, other: "Pair", half: Literal["model", "projector"]) -> "Pair":
        """Give this pair with one half of `other` in its place."""
        model, projector = (other, self) if half == "model" else (self, other)
        bundle = Bundle(model.bundle.folder, model.bundle.model, projector.bundle.projector, None)
        return Pair(
            f"{other.name} ({half})",
            bundle,
            model.model,
            projector.projector,
            model.model_id,
            projector.projector_id,
        )


def pair_of(name: str, bundle: Bundle) -> Pair:
    """Identify the files of a bundle.

    Raises:
        GGUFError: One cannot be read, or they do not belong together.
    """
    model, projector = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
    verify_pair(model, projector)
    return Pair(
        name, bundle, model, projector, model_identity(bundle.model), projector_identity(bundle.projector)
    )


def candidate_pairs(path: Path, reference: Pair) -> tuple[Pair, ...]:
    """Give the pairs that a candidate's path means: each language model of a folder that holds several.

    Raises:
        UsageError, GGUFError: As for `candidate_pair`.
    """
    if path.is_dir() and (path / MANIFEST_NAME).is_file():
        bundles = find_bundles(path)
        if len(bundles) > 1:
            return tuple(pair_of(bundle.model.stem, bundle) for bundle in bundles)
    elif path.is_dir():
        models = [model for model in language_models(path) if not is_imatrix(model)]
        if len(models) > 1:
            return tuple(candidate_pair(model, reference) for model in models)
    return (candidate_pair(path, reference),)


def candidate_pair(path: Path, reference: Pair) -> Pair:
    """Give the pair that a candidate's path means: a folder, a language model, or a projector alone.

    A half that is given alone, a projector or a language model with none beside it, goes with the
    reference's other half; so does a language model with several projectors beside it, the reference's
    among them.

    Raises:
        UsageError: There is no such file, or it is not clear which is meant.
        GGUFError: A file is damaged, or does not belong to the other half.
    """
    if not path.is_file():
        return pair_of(path.resolve().name, find_bundle(path))
    whole = reference.bundle
    if GGUFInfo.read(path).architecture == _CLIP:
        return pair_of(path.stem, Bundle(whole.folder, whole.model, path, None))
    beside = [projector.resolve() for projector in path.parent.glob("mmproj-*.gguf")]
    alone = not (path.parent / MANIFEST_NAME).is_file() and whole.projector.resolve() in beside
    if alone or not beside:
        return pair_of(path.stem, Bundle(path.parent, path, whole.projector, None))
    try:
        return pair_of(path.stem, find_bundle(path))
    except UsageError as error:
        raise UsageError(
            f"{path}: it is not clear which projector beside it is its own; lay both into their own folder"
        ) from error


def check_comparable(reference: Pair, candidate: Pair) -> tuple[str, ...]:
    """Check that two models choose among the same tokens; give what else differs, as remarks.

    Raises:
        GGUFError: They are of other architectures or sizes, or have other vocabularies.
    """
    ours, theirs = reference.model, candidate.model
    if ours.architecture != theirs.architecture:
        raise GGUFError(
            f"{theirs.path}: architecture is {theirs.architecture}, the reference's {ours.architecture}; "
            "only types of one model can be compared"
        )
    key = "tokenizer.ggml.tokens"
    if reference.model_id != candidate.model_id and ours.array(key) != theirs.array(key):
        raise GGUFError(
            f"{theirs.path}: has another vocabulary than {ours.path.name}; only types of one model can be "
            "compared"
        )
    for what in ("block_count", "embedding_length"):  # halves of models of other sizes fit nobody
        wanted, found = (info.integer(f"{ours.architecture}.{what}") for info in (ours, theirs))
        if wanted != found:
            raise GGUFError(
                f"{theirs.path}: {what} is {found}, that of {ours.path.name} {wanted}; only types of one "
                "model can be compared"
            )
    template = "tokenizer.chat_template"
    if ours.metadata.get(template) != theirs.metadata.get(template):
        return (f"{candidate.name} has another chat template than the reference: part of its loss is that",)
    return ()


def unique_names(names: Sequence[str]) -> None:
    """Check that no two candidates would stand in the table under one name.

    Raises:
        UsageError: Two would.
    """
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two candidates are called {min(twice)}; rename one of the folders or files")
