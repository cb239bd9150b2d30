"""How large a language model becomes in each type."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qwen3vl_edge.quant.file_types import QUANTIZED_FILE_TYPES, FileType
from qwen3vl_edge.quant.mixes import ModelTraits
from qwen3vl_edge.quant.recipes import SourceTensor, choose_types

__all__ = ["TypeSize", "sizes_by_type"]


@dataclass(frozen=True, slots=True)
class TypeSize:
    """One type: bits for each weight, and the bytes of all tensors (0 without a model)."""

    file_type: FileType
    bits_per_weight: float
    n_bytes: int

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain strings and numbers."""
        return {
            "type": self.file_type.name,
            "bits_per_weight": round(self.bits_per_weight, 3),
            "size_bytes": self.n_bytes or None,
            "use": self.file_type.use,
            "needs_imatrix": self.file_type.needs_imatrix,
        }


def sizes_by_type(tensors: Sequence[SourceTensor] = (), traits: ModelTraits | None = None) -> list[TypeSize]:
    """Give every type, roughly from most to fewest bits.

    Args:
        tensors: Of a language model; without any, the bits are those of the type that most tensors get.
        traits: Of that model.
    """
    sizes = []
    for file_type in QUANTIZED_FILE_TYPES.values():
        base = file_type.base
        if not tensors:
            sizes.append(TypeSize(file_type, base.block_bytes * 8 / base.block, 0))
            continue
        choices = choose_types(tensors, file_type, traits or ModelTraits(), has_imatrix=True)
        n_bytes = sum(choices[name].kind.nbytes(shape) for name, shape, _ in tensors)
        n_values = sum(prod(shape) for _, shape, _ in tensors)
        sizes.append(TypeSize(file_type, n_bytes * 8 / n_values, n_bytes))
    return sizes
