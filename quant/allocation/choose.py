"""From measured errors and a budget of bytes to a type for each tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.quant.allocation.damage import sensitivity
from qwen3vl_edge.quant.allocation.errors import Errors
from qwen3vl_edge.quant.allocation.knapsack import Option, Packing, pack
from qwen3vl_edge.quant.allocation.sites import Site, shape_at, widths_of
from qwen3vl_edge.writing.gguf_header import padding

__all__ = ["Chosen", "TensorChoice", "choose", "smallest"]


@dataclass(frozen=True, slots=True)
class TensorChoice:
    """The type of one tensor; `error` is measured, `damage` what the model makes of it."""

    name: str
    shape: tuple[int, ...]
    kind: TensorType
    error: float
    damage: float

    @property
    def n_bytes(self) -> int:
        """Return the bytes in the file, with the padding behind them."""
        n_bytes = self.kind.nbytes(self.shape)
        return n_bytes + padding(n_bytes)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices; by the share `gap` of their damage another choice might be better, by no more."""

    choices: tuple[TensorChoice, ...]
    gap: float

    @property
    def n_bytes(self) -> int:
        """Return the bytes of all chosen tensors with their padding."""
        return sum(choice.n_bytes for choice in self.choices)

    @property
    def damage(self) -> float:
        """Return what all of them together are expected to cost."""
        return sum(choice.damage for choice in self.choices)


def choose(sites: Sequence[Site], errors: Errors, budget_bytes: int) -> Chosen | None:
    """Choose the types of least damage; None if even the smallest do not fit.

    Args:
        sites: The tensors.
        errors: Of all of their candidates.
        budget_bytes: For all of them with the padding behind each.
    """
    found: list[tuple[Packing, list[list[TensorChoice]]]] = []
    for width in widths_of(sites):
        options = _options(sites, errors, width)
        packing = pack([[Option(one.n_bytes, one.damage) for one in of] for of in options], budget_bytes)
        if packing:
            found.append((packing, options))
    if not found:
        return None
    best, options = min(found, key=lambda item: (item[0].damage, item[0].n_bytes))
    choices = tuple(of[number] for of, number in zip(options, best.chosen, strict=True))
    bound = min(packing.bound for packing, _ in found)
    return Chosen(choices, max(0.0, 1 - bound / best.damage) if best.damage else 0.0)


def smallest(sites: Sequence[Site], errors: Errors) -> Chosen:
    """Choose the fewest bytes that are possible."""
    least = min(
        sum(min(choice.n_bytes for choice in of) for of in _options(sites, errors, width))
        for width in widths_of(sites)
    )
    chosen = choose(sites, errors, least)
    if chosen is None:  # what was just summed up fits
        raise AssertionError
    return chosen


def _options(sites: Sequence[Site], errors: Errors, width: int) -> list[list[TensorChoice]]:
    return [_options_of(site, errors[site.name], width) for site in sites]


def _options_of(site: Site, errors: Mapping[str, float], width: int) -> list[TensorChoice]:
    shape, factor = shape_at(site.material, width), sensitivity(site.name, tied=site.tied)
    found = [
        TensorChoice(site.name, shape, kind, errors[kind.name], factor * errors[kind.name])
        for kind in site.kinds(width)
        if kind.name in errors
    ]
    if not found:
        kinds = ", ".join(kind.name for kind in site.kinds(width))
        raise EngineError(
            f"{site.name!r:.120}: its values are too large for {kinds}; give it BF16 with --tensor"
        )
    return found
