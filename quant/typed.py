"""Tensors of one file get their types: what `convert` and `quantize` do alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant.assignment import Assignment
from qwen3vl_edge.quant.file_types import FileType
from qwen3vl_edge.quant.gguf_source import FLOATS
from qwen3vl_edge.quant.importance import Importance, importance_of, refuse_missing_importance
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.projector import added_columns, padded_shape
from qwen3vl_edge.quant.recipes import SourceTensor, choose_types
from qwen3vl_edge.quant.wishes import Choice, Wishes
from qwen3vl_edge.writing.planned import PlannedTensor
from qwen3vl_edge.writing.source import Cut, Source

__all__ = ["Material", "Typed", "assigned", "copied", "padded", "typed"]


@dataclass(frozen=True, slots=True)
class Material:
    """One tensor before its type is chosen.

    `before` is the type in the source, `shape` row-major; `note` says what else was done to it.
    """

    name: str
    shape: tuple[int, ...]
    before: TensorType
    source: Source
    cut: Cut
    note: str = ""


@dataclass(frozen=True, slots=True)
class Typed:
    """The tensors of one file, the choices for them, and how many entries of an importance matrix apply."""

    tensors: Sequence[PlannedTensor]
    choices: Sequence[Choice]
    n_importances: int = 0


def padded(materials: Sequence[Material], width: int) -> list[Material]:
    """Make the MLPs of a projector `width` wide."""
    return [_padded(material, width) for material in materials]


def _padded(material: Material, width: int) -> Material:
    shape = padded_shape(material.name, material.shape, width)
    if shape == material.shape:
        return material
    before, after = (
        size for pair in zip(material.shape, shape, strict=True) if pair[0] != pair[1] for size in pair
    )
    cut = replace(material.cut, zero_columns=added_columns(material.shape, shape))
    return replace(material, shape=shape, cut=cut, note=f"; padded with zeros from {before} to {after}")


def typed(  # noqa: PLR0913
    materials: Sequence[Material],
    wanted: FileType,
    traits: ModelTraits,
    wishes: Wishes,
    importance: Importance,
    *,
    in_file_order: bool = False,
) -> Typed:
    """Choose the type of each tensor of one file; see `choose_types`.

    Raises:
        UsageError: a type does not fit, or needs an importance that is not there.
        GGUFError: a tensor is in no layer of the model.
    """
    has_imatrix = any(item.name in importance for item in materials)
    choices = choose_types(
        _listed(materials), wanted, traits, wishes, has_imatrix=has_imatrix, in_file_order=in_file_order
    )
    return _made(materials, choices, wanted.name, importance)


def assigned(
    materials: Sequence[Material], assignment: Assignment, wishes: Wishes, importance: Importance
) -> Typed:
    """Give the tensors of one file the types of a table; see `Assignment.choose`.

    Raises:
        UsageError: the table is of another model, a type does not fit, or needs an importance that is not
            there.
    """
    choices = assignment.choose(_listed(materials), wishes)
    return _made(materials, choices, assignment.why, importance)


def _listed(materials: Sequence[Material]) -> list[SourceTensor]:
    return [(item.name, item.shape, item.before) for item in materials]


def _made(
    materials: Sequence[Material], choices: Mapping[str, Choice], wanted: str, importance: Importance
) -> Typed:
    applying = {item.name: importance[item.name] for item in materials if item.name in importance}
    refuse_missing_importance(wanted, choices, applying)
    planned = [_planned(item, choices[item.name], applying) for item in materials]
    is_used = any(tensor.importance is not None and tensor.kind.block > 1 for tensor in planned)
    return Typed(planned, list(choices.values()), len(applying) if is_used else 0)


def copied(materials: Sequence[Material]) -> Typed:
    """Leave every tensor as it is."""
    choices = {item.name: Choice(item.before, "as it is", needs_imatrix=False) for item in materials}
    return Typed([_planned(item, choices[item.name], {}) for item in materials], list(choices.values()))


def _planned(material: Material, choice: Choice, importance: Importance) -> PlannedTensor:
    is_copy = (
        material.before.name not in FLOATS
        and choice.kind == material.before
        and material.shape == material.source.shape
    )
    return PlannedTensor(
        name=material.name,
        shape=material.shape,
        kind=choice.kind,
        source=material.source,
        cut=material.cut,
        why=f"{choice.why}{material.note}",
        importance=importance_of(material.name, material.shape, importance),
        copied=is_copy,
    )
