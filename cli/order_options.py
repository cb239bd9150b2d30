"""Options of `convert` and `quantize` that order a size, and the way from them to a plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qwen3vl_edge.quant.allocation import Half, Order, Ordered, SavedRecipe
    from qwen3vl_edge.quant.assignment import Assignment
    from qwen3vl_edge.quant.imatrix import Imatrix
    from qwen3vl_edge.writing import WritePlan

__all__ = ["OrderOptions", "Ordering"]


@dataclass(frozen=True)
class OrderOptions:
    """The size that is ordered, or the recipe that is used again, as the user gives them."""

    bpw: Annotated[
        float | None,
        typer.Option(
            "--bpw",
            metavar="BITS",
            help="In place of --type: choose the type of every tensor of both files so that the least is "
            "lost with so many bits a weight, e.g. 4.5. Errors are measured, weighed by --imatrix if given.",
            show_default=False,
        ),
    ] = None
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit",
            metavar="SIZE",
            help="The same for a size of both files together, never exceeded: 3.5G (of 10^9 bytes), 800M.",
            show_default=False,
        ),
    ] = None
    types: Annotated[
        str | None,
        typer.Option(
            "--types",
            metavar="TYPE,…",
            help="With --bpw or --fit: the types to choose of, e.g. Q4_K,Q5_K,Q6_K,Q8_0.  [default: those of "
            "2 to 8 bits and F16]",
            show_default=False,
        ),
    ] = None
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            metavar="FILE",
            help="In place of --type: the types in this manifest.json or file of --save-recipe.",
            show_default=False,
        ),
    ] = None
    save_recipe: Annotated[
        Path | None,
        typer.Option(
            "--save-recipe",
            metavar="FILE",
            help="With --bpw or --fit: keep the choices, to be edited and used again with --recipe.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class Ordering:
    """An order, or a recipe that was kept, or neither: then files are made by --type."""

    order: "Order | None" = None
    saved: "SavedRecipe | None" = None
    save_to: Path | None = None

    @classmethod
    def of(cls, options: OrderOptions, types: Sequence[str], *, pure: bool) -> "Ordering":
        """Read the options.

        Raises:
            UsageError: they contradict each other, a size or type is none, or a file is no recipe.
        """
        from qwen3vl_edge.errors import UsageError
        from qwen3vl_edge.quant.allocation import parse_order, parse_types, read_recipe, refuse_replacing

        kinds = None if options.types is None else parse_types(options.types)
        order = parse_order(options.bpw, options.fit, kinds)
        if options.recipe and order:
            raise UsageError("--recipe has its size; leave --bpw and --fit out")
        if options.save_recipe and not order:
            raise UsageError("--save-recipe is for --bpw and --fit")
        if (order or options.recipe) and (types or pure):
            given = "--type" if types else "--pure"
            raise UsageError(f"{given} and --bpw, --fit or --recipe are two ways to choose types; give one")
        if options.save_recipe:
            refuse_replacing(options.save_recipe)
        saved = read_recipe(options.recipe) if options.recipe else None
        return cls(order, saved, options.save_recipe)

    @property
    def is_given(self) -> bool:
        """Whether types come from here and not from --type."""
        return self.order is not None or self.saved is not None

    def projector_type(self, wanted: str | None, *, is_pair: bool = True) -> str | None:
        """Return the one type of the projector, if it shall have one: the user's; of a pair, the recipe's."""
        return wanted or (self.saved.projector_type if self.saved and is_pair else None)

    def assignment(self, projector_type: str | None, imatrix: "Imatrix | None") -> "Assignment | None":
        """Return the types of a recipe that was kept, without the projector's if that has one type."""
        if self.saved is None:
            return None
        self._compare_matrices(imatrix)
        table = self.saved.assignment
        return table.of_model() if projector_type else table

    def _compare_matrices(self, imatrix: "Imatrix | None") -> None:
        from qwen3vl_edge.cli import view

        note = self.saved.imatrix if self.saved else None
        if note and (imatrix is None or imatrix.sha256 != note.sha256):
            view.note(f"the recipe's files were made with the matrix {note.name!r:.80}: these will differ")

    def plan(
        self,
        halves: "Sequence[Half]",
        planner: "Callable[[Assignment], WritePlan]",
        threads: int | None,
    ) -> "Ordered":
        """Measure and choose; keep the choices, if the user wants that."""
        from qwen3vl_edge.cli import view
        from qwen3vl_edge.quant.allocation import plan_order, save_recipe
        from qwen3vl_edge.runtime.threads import default_threads

        if self.order is None:
            raise AssertionError
        n_threads = threads or default_threads()
        ordered = plan_order(halves, self.order, planner, n_threads=n_threads, progress=view.progress())
        if self.save_to and ordered.plan.recipe:
            save_recipe(self.save_to, ordered.chosen, ordered.plan.recipe)
        return ordered
