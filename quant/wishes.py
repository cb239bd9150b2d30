"""The user's wishes for types, and the choices that come of them.

Source: tensor_requires_imatrix and llama_tensor_get_type in src/llama-quant.cpp, llama.cpp 0c1e57098.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant.fallbacks import fit, misfit
from qwen3vl_edge.quant.overrides import TypeOverride, override_of
from qwen3vl_edge.quant.parts import Part, part_of

__all__ = ["TIED", "Choice", "Wishes", "asked_for", "needs_importance", "overridden", "wished"]

_NEED_IMATRIX = ("IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S")
# ggml_quantize_requires_imatrix in ggml/src/ggml.c: without one the process dies, whatever the tensor
_DIE_WITHOUT_IMATRIX = ("IQ2_XXS", "IQ2_XS", "IQ1_S")
TIED = "as asked for output, which the embedding is tied to"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants otherwise than the recipe.

    Attributes:
        overrides: the first whose expression is found in a name decides.
        output_type: for ``output.weight``; by recipe, for the embedding that is tied to it too.
        embedding_type: for ``token_embd.weight``; this and `output_type` win over `overrides`.
        pure: no recipe; whatever is left gets the type that the file is mostly of.
    """

    overrides: Sequence[TypeOverride] = ()
    output_type: TensorType | None = None
    embedding_type: TensorType | None = None
    pure: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The type of one tensor, why it is that one, and whether it needs an importance matrix.

    `wish` is the one of the user's that decided: an override, or the part that has a type of its own.
    """

    kind: TensorType
    why: str
    needs_imatrix: bool
    wish: TypeOverride | Part | None = None

    @classmethod
    def of(cls, kind: TensorType, why: str, wish: TypeOverride | Part | None = None) -> "Choice":
        """Note a wanted type; whether it fits and needs a matrix is not looked at yet."""
        return cls(kind, why, needs_imatrix=False, wish=wish)


def wished(name: str, shape: tuple[int, ...], wishes: Wishes, *, tied: bool) -> Choice | None:
    """Choose the type of a tensor where the user says it, whatever the rest of its file gets.

    Args:
        name: of a tensor that is quantized.
        shape: row-major.
        wishes: of the user; where `tied`, the one for the output is the embedding's too.
        tied: whether there is no ``output.weight``.

    Raises:
        UsageError: a type that was asked for does not fit the rows.
    """
    if asked := asked_for(name, shape, wishes):
        return replace(asked, needs_imatrix=needs_importance(name, asked.kind))
    found = overridden(name, wishes)
    if found is None and tied and part_of(name) is Part.TOKEN_EMBD and wishes.output_type is not None:
        found = Choice.of(wishes.output_type, TIED, Part.OUTPUT)
    if found is None:
        return None
    kind, why = fit(name, shape, found.kind, found.why)
    return replace(found, kind=kind, why=why, needs_imatrix=needs_importance(name, kind))


def needs_importance(name: str, kind: TensorType) -> bool:
    """Tell whether the tensor `name` is garbage, or ends the process, in `kind` without an importance."""
    if kind.name in _DIE_WITHOUT_IMATRIX:
        return True
    return kind.name in _NEED_IMATRIX and part_of(name) not in (Part.TOKEN_EMBD, Part.OUTPUT)


def asked_for(name: str, shape: tuple[int, ...], wishes: Wishes) -> Choice | None:
    """Choose the type that is asked for one tensor by its part: it has no fallback.

    Raises:
        UsageError: it does not fit the rows.
    """
    part = part_of(name)
    kind = {Part.TOKEN_EMBD: wishes.embedding_type, Part.OUTPUT: wishes.output_type}.get(part)
    if kind is not None and not kind.fits(shape):
        raise misfit(name, shape, kind)
    return Choice.of(kind, f"as asked for {part}", part) if kind else None


def overridden(name: str, wishes: Wishes) -> Choice | None:
    """Choose the type that the first override for a tensor gives it, whether it fits or not."""
    override = override_of(name, wishes.overrides)
    return Choice.of(override.kind, f"override {override.pattern.pattern!r}", override) if override else None
