"""How large a language model becomes in each type."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant.file_types import QUANTIZED_FILE_TYPES, FileType
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.recipes import SourceTensor, choose_types

__all__ = ["TypeSize", "sizes_by_type"]


@dataclass(frozen=True, slots=True)
class TypeSize:
    """One type: bits for each weight, and the bytes of all tensors.

    Those are 0 without a model, or with one that the type does not fit; `problem` then says why.
    """

    file_type: FileType
    bits_per_weight: float
    n_bytes: int = 0
    problem: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain strings and numbers."""
        return {
            "type": self.file_type.name,
            "bits_per_weight": round(self.bits_per_weight, 3),
            "size_bytes": self.n_bytes or None,
            "problem": self.problem,
            "use": self.file_type.use,
            "needs_imatrix": self.file_type.needs_imatrix,
        }


def sizes_by_type(
    tensors: Sequence[SourceTensor] = (), traits: ModelTraits | None = None, *, has_imatrix: bool = False
) -> list[TypeSize]:
    """Give every type, roughly from most to fewest bits.

    Args:
        tensors: Of a language model; without any, the bits are those of the type that most tensors get.
        traits: Of that model.
        has_imatrix: Whether there is an importance matrix, which changes some recipes; types that need one
            are sized with it anyway.
    """
    every = QUANTIZED_FILE_TYPES.values()
    if not tensors:
        return [TypeSize(kind, kind.base.block_bytes * 8 / kind.base.block) for kind in every]
    return [_size(kind, tensors, traits or ModelTraits(), has_imatrix=has_imatrix) for kind in every]


def _size(
    kind: FileType, tensors: Sequence[SourceTensor], traits: ModelTraits, *, has_imatrix: bool
) -> TypeSize:
    try:
        choices = choose_types(tensors, kind, traits, has_imatrix=has_imatrix or kind.needs_imatrix)
    except UsageError as misfit:
        return TypeSize(kind, kind.base.block_bytes * 8 / kind.base.block, problem=str(misfit))
    n_bytes = sum(choices[name].kind.nbytes(shape) for name, shape, _ in tensors)
    return TypeSize(kind, n_bytes * 8 / sum(prod(shape) for _, shape, _ in tensors), n_bytes)
