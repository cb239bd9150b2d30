"""Types given tensor by tensor, as an order or a recipe file gives them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.errors import UsageError, join_problems
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.manifest import OrderNote
from qwen3vl_edge.quant.fallbacks import misfit
from qwen3vl_edge.quant.parts import why_kept
from qwen3vl_edge.quant.projector import is_hidden_column, padded_width
from qwen3vl_edge.quant.wishes import Choice, Wishes, needs_importance, wished

__all__ = ["Assignment", "is_label", "is_projector", "label_of"]

_TIED_TO = "output.weight"
_PROJECTOR = ("v.", "mm.")
_Named = tuple[str, tuple[int, ...], TensorType]


def is_projector(name: str) -> bool:
    """Tell whether a tensor of this name is of a projector."""
    return name.startswith(_PROJECTOR)


def label_of(n_bytes: int, n_weights: int) -> str:
    """Return what files of ordered types are called: the bits a weight of all tensors, as ``4.50bpw``."""
    return f"{n_bytes * 8 / n_weights:.2f}bpw"


def is_label(text: str) -> bool:
    """Tell whether `text` is what `label_of` gives."""
    return re.fullmatch(r"\d{1,2}\.\d\dbpw", text) is not None


@dataclass(frozen=True, slots=True)
class Assignment:
    """The types of all quantized tensors of a language model, a projector or both.

    Attributes:
        kinds: Name -> type.
        why: They are these, in a few words.
        order: What was asked for, for the manifest.
    """

    kinds: Mapping[str, TensorType]
    why: str
    order: OrderNote

    @property
    def is_measured(self) -> bool:
        """Whether they were chosen for a size just now: then a matrix has been of use in any case."""
        return self.order.recipe is None

    def is_of(self, *, projector: bool) -> bool:
        """Tell whether there are types for the projector, or else for the language model."""
        return any(is_projector(name) == projector for name in self.kinds)

    def of_model(self) -> "Assignment":
        """Return the types of the language model alone."""
        return replace(
            self, kinds={name: kind for name, kind in self.kinds.items() if not is_projector(name)}
        )

    def width(self, width: int) -> int:
        """Return the hidden width of the projector's MLP that all of its types fit, from `width` on."""
        kinds = [kind for name, kind in self.kinds.items() if is_hidden_column(name)]
        return max((padded_width(width, kind) for kind in kinds), default=width)

    def choose(self, tensors: Sequence[_Named], wishes: Wishes) -> dict[str, Choice]:
        """Choose the types of the tensors of one file: by the user's wishes, else by this table.

        Args:
            tensors: Name, row-major shape, type in the source.
            wishes: Of the user for this file.

        Raises:
            UsageError: the table is of another model, or a type does not fit.
        """
        self._refuse_other_model(tensors)
        tied = all(name != _TIED_TO for name, _, _ in tensors)
        return {name: self._choose(name, shape, before, wishes, tied=tied) for name, shape, before in tensors}

    def _choose(
        self, name: str, shape: tuple[int, ...], before: TensorType, wishes: Wishes, *, tied: bool
    ) -> Choice:
        if kept := why_kept(name, shape):
            return Choice.of(before, f"kept: {kept}")
        if found := wished(name, shape, wishes, tied=tied):
            return replace(found, needs_imatrix=found.needs_imatrix and found.kind != before)
        kind = self.kinds[name]
        if not kind.fits(shape):
            raise misfit(name, shape, kind)
        # what stays as it is was made with a matrix once
        return Choice(kind, self.why, needs_imatrix=kind != before and needs_importance(name, kind))

    def _refuse_other_model(self, tensors: Sequence[_Named]) -> None:
        quantized = {name for name, shape, _ in tensors if why_kept(name, shape) is None}
        of_projector = any(map(is_projector, quantized))
        given = {name for name in self.kinds if is_projector(name) == of_projector}
        faults = [f"has no type for {name}" for name in sorted(quantized - given)]
        kept = {name for name, _, _ in tensors} - quantized
        faults += [
            f"names {name!r:.80}, which {'is kept as it is' if name in kept else 'the model does not have'}"
            for name in sorted(given - quantized)
        ]
        if faults:
            raise UsageError(f"{self.why}: {join_problems(faults, 3)}; give the recipe of this model")
