"""How the tensors of both files of a bundle get their types."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qwen3vl_edge.converters.recipe import Recipe
from qwen3vl_edge.converters.tensor_map import Mapped
from qwen3vl_edge.converters.tensor_types import choose_type
from qwen3vl_edge.manifest import RecipeNote
from qwen3vl_edge.model_config import ModelConfig
from qwen3vl_edge.quant import FileType, ModelTraits, SourceTensor, find_file_type
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.assignment import Assignment, label_of
from qwen3vl_edge.quant.file_types import ordered_file_type
from qwen3vl_edge.quant.importance import Importance
from qwen3vl_edge.quant.projector import of_projector, padded_width
from qwen3vl_edge.quant.recipe_note import recipe_note
from qwen3vl_edge.quant.typed import Material, Typed, assigned, padded, typed

__all__ = ["BothFiles", "listed", "shapes_of", "traits_of"]


@dataclass(frozen=True, slots=True, eq=False)
class BothFiles:
    """The tensors of the language model and of the projector, and what the user wants of them."""

    recipe: Recipe
    config: ModelConfig
    model_tensors: Sequence[Mapped]
    projector_tensors: Sequence[Mapped]
    importance: Importance

    def made(self) -> list[tuple[FileType, Typed]]:
        """Choose the types of every file, the projector's last."""
        recipe, table = self.recipe, self.recipe.assignment
        types = dict.fromkeys(map(find_file_type, recipe.types))
        own = find_file_type(recipe.projector_type)
        table_of_projector = self._table_of_projector
        projector = (
            self._assigned_projector(table_of_projector) if table_of_projector else self._projector(own)
        )
        if table is None:
            return [*((wanted, self._model(wanted)) for wanted in types), (own, projector)]
        model = assigned(_materials(self.model_tensors, "F16"), table, recipe.wishes, self.importance)
        label = self._label((model, projector))
        return [
            (_labelled(label, model), model),
            (_labelled(label, projector) if table_of_projector else own, projector),
        ]

    def note(self, types: Sequence[FileType]) -> RecipeNote:
        """Return what the manifest says was asked for, given the types of all files."""
        recipe, names = self.recipe, [wanted.name for wanted in types[:-1]]
        own = None if self._table_of_projector else types[-1]
        order = recipe.assignment.order if recipe.assignment else None
        return recipe_note(names, own, recipe.wishes, recipe.imatrix, order=order)

    def _model(self, wanted: FileType) -> Typed:
        """Choose the types of the language model by llama.cpp's recipe."""
        materials = _materials(self.model_tensors, _float_of(wanted))
        return typed(materials, wanted, traits_of(self.config), self.recipe.wishes, self.importance)

    def _projector(self, wanted: FileType) -> Typed:
        """Choose the types of the projector by its own recipe: one for all, the MLP padded."""
        width = padded_width(self.config.vision.ffn, wanted.base)
        materials = padded(_materials(self.projector_tensors, _float_of(wanted)), width)
        return typed(materials, wanted, ModelTraits(), of_projector(self.recipe.wishes), self.importance)

    @property
    def _table_of_projector(self) -> Assignment | None:
        table = self.recipe.assignment
        return table if table and table.is_of(projector=True) else None

    def _assigned_projector(self, table: Assignment) -> Typed:
        width = table.width(self.config.vision.ffn)
        materials = padded(_materials(self.projector_tensors, "F16"), width)
        return assigned(materials, table, of_projector(self.recipe.wishes), self.importance)

    def _label(self, made: Sequence[Typed]) -> str:
        """Return what files of ordered types are called, by the bits a weight of both together."""
        n_bytes = sum(tensor.nbytes for one in made for tensor in one.tensors)
        shapes = shapes_of([*self.model_tensors, *self.projector_tensors])
        return label_of(n_bytes, sum(prod(shape) for _, shape in shapes))

    def halves(self, *, with_projector: bool) -> list[Half]:
        """List what there is to choose types for where a size is ordered."""
        wishes = self.recipe.wishes
        model, projector = (
            _materials(mapped, "F16") for mapped in (self.model_tensors, self.projector_tensors)
        )
        return [
            Half(model, self.importance, wishes),
            Half(projector, self.importance, of_projector(wishes), is_chosen=with_projector),
        ]


def traits_of(config: ModelConfig) -> ModelTraits:
    """Return what recipes want to know of the language model."""
    text = config.text
    n_experts = text.moe.n_experts if text.moe else 0
    return ModelTraits(text.n_layers, text.n_heads, text.n_kv_heads, n_experts)


def _labelled(label: str, made: Typed) -> FileType:
    return ordered_file_type(label, [(tensor.shape, tensor.kind) for tensor in made.tensors])


def _float_of(wanted: FileType) -> str:
    """Return the type of floats that what is kept has it from."""
    return "F16" if wanted.base.block > 1 else wanted.base.name


def _materials(mapped: Sequence[Mapped], before: str) -> list[Material]:
    """Give the tensors of one file; what is kept has the type as in a file of the floats `before`."""
    kinds = [kind for _, _, kind in listed(mapped, before)]
    return [
        Material(item.target, item.shape, kind, item.source, item.cut)
        for item, kind in zip(mapped, kinds, strict=True)
    ]


def listed(mapped: Sequence[Mapped], before: str = "F16") -> list[SourceTensor]:
    """List tensors with the types that a file of the floats `before` would have: what is kept keeps it."""
    return [(item.target, item.shape, choose_type(item.target, item.shape, before)) for item in mapped]


def shapes_of(mapped: Sequence[Mapped]) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and row-major shapes."""
    return [(item.target, item.shape) for item in mapped]
