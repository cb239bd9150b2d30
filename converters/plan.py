"""What a conversion will write, down to the byte, before it writes anything."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Literal

from qwen3vl_edge.checkpoint import SINGLE_NAME, Checkpoint, TensorRef
from qwen3vl_edge.converters.both_files import BothFiles, listed, shapes_of, traits_of
from qwen3vl_edge.converters.general_metadata import GeneralMetadata
from qwen3vl_edge.converters.metadata import model_metadata, projector_metadata
from qwen3vl_edge.converters.overrides import apply_overrides
from qwen3vl_edge.converters.recipe import Recipe
from qwen3vl_edge.converters.source_files import source_files
from qwen3vl_edge.converters.tensor_map import expected_tensors, map_tensors
from qwen3vl_edge.converters.vocab import Vocab
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.hub.contents import shard_names
from qwen3vl_edge.input_files import check_folder
from qwen3vl_edge.manifest import Source
from qwen3vl_edge.model_config import ModelConfig
from qwen3vl_edge.quant import FileType, ModelTraits, SourceTensor
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.idle import refuse_idle_imatrix, refuse_idle_wishes, refuse_unmatched
from qwen3vl_edge.quant.projector import hidden_width
from qwen3vl_edge.quant.typed import Typed
from qwen3vl_edge.safetensors_header import ITEM_BYTES
from qwen3vl_edge.writing import Draft, PlannedFile, WritePlan, lay_out
from qwen3vl_edge.writing.names import safe_name

__all__ = ["Recipe", "has_weights", "model_tensors", "ordered_halves", "plan_conversion"]


def plan_conversion(folder: Path, recipe: Recipe, *, from_config: bool = False) -> WritePlan:
    """Read everything of the checkpoint but its values, and check that all of it can be converted.

    With `from_config` the folder needs no weights and no tokenizer: the tensors are those that
    config.json implies, in the published layout. Such a plan can be looked at, not run.

    Raises:
        UsageError: an unknown type, or `folder` is not a checkpoint folder.
        CheckpointError: what is wrong with the checkpoint, all of a kind in one line.
    """
    found = _Found.read(folder, recipe, from_config=from_config)
    made = found.both.made()
    refuse_idle_wishes([choice for _, tensors in made for choice in tensors.choices], recipe.wishes)
    if not (recipe.assignment and recipe.assignment.is_measured):
        refuse_idle_imatrix(recipe.imatrix, sum(tensors.n_importances for _, tensors in made))
    drafts = [
        found.draft(wanted, tensors, is_model=i < len(made) - 1) for i, (wanted, tensors) in enumerate(made)
    ]
    final = apply_overrides([draft.metadata for draft in drafts], recipe.overrides)
    files: list[PlannedFile] = []
    for draft, metadata in zip(drafts, final, strict=True):
        limit = recipe.split_max_bytes if draft.role == "model" else None
        files += lay_out(replace(draft, metadata=metadata), split_max_bytes=limit)
    return WritePlan(
        found.base,
        found.source(),
        tuple(files),
        has_weights=not from_config,
        inputs=(folder / "config.json", *found.checkpoint.shards),
        recipe=found.both.note([wanted for wanted, _ in made]),
    )


def ordered_halves(folder: Path, recipe: Recipe, *, with_projector: bool) -> list[Half]:
    """List what there is to choose types for where a size is ordered; all but the types of `recipe` counts.

    Args:
        folder: The checkpoint.
        recipe: What to make of it.
        with_projector: Whether the projector's types are to be chosen, too.

    Raises:
        UsageError, CheckpointError: as `plan_conversion`.
    """
    return _Found.read(folder, recipe, from_config=False).both.halves(with_projector=with_projector)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """All that a checkpoint says, and what the user wants of it."""

    recipe: Recipe
    checkpoint: Checkpoint
    config: ModelConfig
    both: BothFiles
    general: GeneralMetadata
    limits: PreprocessorDefaults
    vocab: Vocab | None

    @classmethod
    def read(cls, folder: Path, recipe: Recipe, *, from_config: bool) -> "_Found":
        """Read and check everything but the values; raises as `plan_conversion`."""
        if from_config:
            check_folder(folder)
        checkpoint = None if from_config else Checkpoint.open(folder)
        config = read_config(folder)
        checkpoint = checkpoint or _implied_checkpoint(folder, config)
        model, projector = map_tensors(checkpoint, config)
        refuse_unmatched(listed([*model, *projector]), recipe.wishes.overrides)
        shapes = [*shapes_of(model), *shapes_of(projector)]
        importance = recipe.imatrix.for_tensors(shapes) if recipe.imatrix else {}
        has_vocab = any((folder / name).exists() for name in ("tokenizer.json", "vocab.json"))
        return cls(
            recipe=recipe,
            checkpoint=checkpoint,
            config=config,
            both=BothFiles(recipe, config, model, projector, importance),
            general=GeneralMetadata.read(folder, name=recipe.name, origin=recipe.origin),
            limits=PreprocessorDefaults.read(folder, config.vision.token_side_px),
            vocab=Vocab.read(folder, config) if has_vocab or not from_config else None,
        )

    @property
    def base(self) -> str:
        """Return what all file names begin with."""
        return safe_name(self.general.base if self.recipe.name is None else self.recipe.name)

    def source(self) -> Source:
        """Return what the manifest says of the checkpoint."""
        files, origin = source_files(self.checkpoint), self.general.origin
        if origin is None:
            return Source(str(self.checkpoint.folder), files)
        return Source(origin.repository, files, origin.revision)

    def draft(self, wanted: FileType, made: Typed, *, is_model: bool) -> Draft:
        """Put tensors and metadata of one file together."""
        shapes = shapes_of(self.both.model_tensors if is_model else self.both.projector_tensors)
        kind: Literal["model", "mmproj"] = "model" if is_model else "mmproj"
        general = self.general.entries(kind, shapes, quantized=wanted.base.block > 1)
        metadata = (
            model_metadata(self.config, self.vocab, general, wanted.code)
            if is_model
            else projector_metadata(
                self.config, self.limits, general, wanted.code, hidden_width(made.tensors)
            )
        )
        if self.recipe.imatrix:
            metadata += self.recipe.imatrix.metadata(made.n_importances)
        stem = f"{'' if is_model else 'mmproj-'}{self.base}-{wanted.name}"
        return Draft("model" if is_model else "projector", stem, wanted.name, metadata, made.tensors)


def has_weights(folder: Path) -> bool:
    """Whether all files of weights that a checkpoint names are there, as they are not after half a download.

    Raises:
        CheckpointError: the index cannot be read.
    """
    return all((folder / name).exists() for name in shard_names(folder))


def model_tensors(folder: Path) -> tuple[list[SourceTensor], ModelTraits]:
    """List what the language model of a checkpoint has to quantize, from config.json alone.

    Raises:
        CheckpointError: every fault of the file.
    """
    check_folder(folder)
    config = read_config(folder)
    model, _ = map_tensors(_implied_checkpoint(folder, config), config)
    return listed(model), traits_of(config)


def _implied_checkpoint(folder: Path, config: ModelConfig) -> Checkpoint:
    """Make up the tensors that config.json implies."""
    refs, offset = [], 0
    for name, shape in expected_tensors(config):
        nbytes = prod(shape) * ITEM_BYTES["BF16"]
        refs.append(TensorRef(name, "BF16", shape, folder / SINGLE_NAME, offset, nbytes))
        offset += nbytes
    return Checkpoint(folder, (), tuple(refs))
