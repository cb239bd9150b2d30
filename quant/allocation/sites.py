"""The tensors whose types are to be chosen, and the types that each may get."""

from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant.allocation.candidates import candidates
from qwen3vl_edge.quant.allocation.errors import Trial
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.gguf_source import FLOATS
from qwen3vl_edge.quant.importance import importance_of
from qwen3vl_edge.quant.parts import why_kept
from qwen3vl_edge.quant.projector import is_hidden_column, padded_shape
from qwen3vl_edge.quant.typed import Material
from qwen3vl_edge.quant.wishes import wished

__all__ = ["Site", "shape_at", "sites_of", "trials_of", "widths_of"]

_BLOCKS = (1, 32, 256)  # of all types; the MLP of a projector can be made whole blocks of each


@dataclass(frozen=True, slots=True)
class Site:
    """A tensor whose type is to be chosen; `tied` if the embedding of its file stands for the output."""

    material: Material
    half: Half
    types: tuple[TensorType, ...] | None
    tied: bool

    @property
    def name(self) -> str:
        """Return the tensor's name."""
        return self.material.name

    @property
    def is_fixed(self) -> bool:
        """Whether it is quantized already, and must stay what it is."""
        return self.material.before.name not in FLOATS and not self.half.allow_requantize

    def kinds(self, width: int) -> list[TensorType]:
        """Return the types to choose of where the projector's MLP is `width` wide; a wish leaves one."""
        shape = shape_at(self.material, width)
        if found := wished(self.name, shape, self.half.wishes, tied=self.tied):
            return [found.kind]
        return candidates(
            self.material,
            shape,
            self.types,
            has_importance=self.name in self.half.importance,
            allow_requantize=self.half.allow_requantize,
        )


def sites_of(halves: Sequence[Half], types: tuple[TensorType, ...] | None) -> list[Site]:
    """List the tensors whose types are to be chosen, of `types` or the default ones."""
    found = []
    for half in halves:
        tied = all(material.name != "output.weight" for material in half.materials)
        found += [
            Site(material, half, types, tied)
            for material in half.materials
            if half.is_chosen and why_kept(material.name, material.shape) is None
        ]
    return found


def widths_of(sites: Sequence[Site]) -> list[int]:
    """Return the hidden widths that the projector's MLP may get; 0 alone without one.

    Blocks that must stay what they are cannot be padded.
    """
    hidden = [site for site in sites if is_hidden_column(site.name)]
    if not hidden:
        return [0]
    width = hidden[0].material.shape[-1]
    fixed = any(
        site.is_fixed
        for site in sites
        if padded_shape(site.name, site.material.shape, -1) != site.material.shape
    )
    return [width] if fixed else sorted({-(-width // block) * block for block in _BLOCKS})


def shape_at(material: Material, width: int) -> tuple[int, ...]:
    """Return the shape of a tensor where the projector's MLP is `width` wide."""
    return padded_shape(material.name, material.shape, width) if width else material.shape


def trials_of(sites: Sequence[Site]) -> list[Trial]:
    """Return what is to be measured: all candidates, whatever the padding that they need."""
    widths = widths_of(sites)
    return [
        Trial(
            site.material,
            list(dict.fromkeys(kind for width in widths for kind in site.kinds(width))),
            importance_of(site.name, site.material.shape, site.half.importance),
        )
        for site in sites
    ]
