"""A size is ordered: measure, choose, plan, and see that it fits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.manifest import OrderNote
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.allocation.budget import Order
from qwen3vl_edge.quant.allocation.candidates import DEFAULT_TYPES
from qwen3vl_edge.quant.allocation.choose import Chosen, choose, smallest
from qwen3vl_edge.quant.allocation.errors import Errors, measure_errors
from qwen3vl_edge.quant.allocation.halves import Half
from qwen3vl_edge.quant.allocation.sites import Site, sites_of, trials_of
from qwen3vl_edge.quant.assignment import Assignment
from qwen3vl_edge.writing import WritePlan

__all__ = ["Ordered", "plan_order"]

_ROUNDS = 8  # parts of a model have headers of their own: a plan of other types may have more of them

Planner = Callable[[Assignment], WritePlan]
"""Plans the files of the types that it is given."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """The files to write, and the choices that make them."""

    plan: WritePlan
    chosen: Chosen


def plan_order(
    halves: Sequence[Half],
    order: Order,
    planner: Planner,
    *,
    n_threads: int,
    progress: Progress = SILENT,
) -> Ordered:
    """Choose the types of least damage for a size, and plan their files, which are never larger.

    Args:
        halves: The language model, the projector, or both.
        order: The size, and the types to choose of.
        planner: Makes plans of types.
        n_threads: To measure with.
        progress: Told the tensors measured.

    Raises:
        UsageError: the size is too small; the least one that is possible.
        GGUFError: all is quantized already.
        CheckpointError: a source cannot be read.
    """
    sites = sites_of(halves, order.types)
    _refuse_requantizing(sites)
    errors = measure_errors(trials_of(sites), n_threads, progress)
    n_weights = sum(half.n_weights for half in halves)
    left = _least(sites, errors, order, planner, n_weights)
    for _ in range(_ROUNDS):
        chosen = choose(sites, errors, left)
        if chosen is None:
            break
        plan = planner(_assignment(chosen, order))
        over = _size(plan, order) - _limit(order, n_weights)
        if over <= 0:
            return Ordered(plan, chosen)
        left -= over
    raise UsageError(f"{order.text}: no cut of the files fits; order a little more, or make fewer parts")


def _least(sites: Sequence[Site], errors: Errors, order: Order, planner: Planner, n_weights: int) -> int:
    """Return the bytes that are left for the chosen tensors, by the plan of the least size."""
    chosen = smallest(sites, errors)
    size, limit = _size(planner(_assignment(chosen, order)), order), _limit(order, n_weights)
    if size > limit:
        least = (
            f"{size} bytes"
            if order.n_bytes is not None
            else f"{_rounded_up(size * 8 / n_weights)} bits a weight"
        )
        raise UsageError(
            f"{order.text}: is too small: {least} are the least that these types make{_why_not_less(sites)}"
        )
    return limit - (size - chosen.n_bytes)


def _why_not_less(sites: Sequence[Site]) -> str:
    n_fixed = sum(site.is_fixed for site in sites)
    if n_fixed == 0:
        return ""
    return (
        f"; {n_fixed} tensors are quantized already: start from the original, or accept the double loss with "
        "--allow-requantize"
    )


def _rounded_up(bits: float) -> str:
    return f"{ceil(bits * 100) / 100:.2f}"


def _size(plan: WritePlan, order: Order) -> int:
    """Return the bytes that count: of the files, or of their tensors with the padding between them."""
    return plan.n_bytes if order.n_bytes is not None else sum(file.data_bytes for file in plan.files)


def _limit(order: Order, n_weights: int) -> int:
    return order.n_bytes if order.n_bytes is not None else int((order.bits_per_weight or 0.0) * n_weights / 8)


def _assignment(chosen: Chosen, order: Order) -> Assignment:
    note = OrderNote(
        bits_per_weight=order.bits_per_weight,
        size_bytes=order.n_bytes,
        types=tuple(kind.name for kind in order.types or DEFAULT_TYPES),
        damage=float(f"{chosen.damage:.4g}"),
        gap=float(f"{chosen.gap:.2g}"),
    )
    return Assignment({choice.name: choice.kind for choice in chosen.choices}, "measured", note)


def _refuse_requantizing(sites: Sequence[Site]) -> None:
    if sites and all(site.is_fixed for site in sites):
        raise GGUFError(
            "all tensors are quantized already; start from the original, or accept the double loss with "
            "--allow-requantize"
        )
