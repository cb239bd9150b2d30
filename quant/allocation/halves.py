"""What there is to choose types for."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qwen3vl_edge.quant.importance import Importance
from qwen3vl_edge.quant.typed import Material
from qwen3vl_edge.quant.wishes import Wishes

__all__ = ["Half"]


@dataclass(frozen=True, slots=True)
class Half:
    """The tensors of a language model or a projector.

    Attributes:
        materials: All of them, as they are before anything is padded.
        importance: As far as there is any.
        wishes: Of the user for this half; what they decide is not chosen.
        is_chosen: Whether its types are to be chosen; else it has some already, and its weights only count.
        allow_requantize: Whether what is quantized may become smaller.
    """

    materials: Sequence[Material]
    importance: Importance
    wishes: Wishes
    is_chosen: bool = True
    allow_requantize: bool = False

    @property
    def n_weights(self) -> int:
        """Return how many values there are."""
        return sum(prod(material.shape) for material in self.materials)
