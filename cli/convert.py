"""`qwen3vl-edge convert`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options, writing_options
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.cli.order_options import Ordering, OrderOptions

if TYPE_CHECKING:
    from qwen3vl_edge.converters import Origin, Override
    from qwen3vl_edge.quant import Wishes
    from qwen3vl_edge.quant.allocation import Chosen
    from qwen3vl_edge.quant.assignment import Assignment
    from qwen3vl_edge.writing import WritePlan

__all__ = ["convert", "find_checkpoint", "plan_checkpoint"]


@grouped
def convert(
    src: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Checkpoint folder, ORG/NAME[@REVISION] on the Hugging Face hub, or `demo`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for the bundle.  [default: ./NAME-GGUF]", show_default=False
        ),
    ] = None,
    type: writing_options.Types = None,
    projector_type: Annotated[
        str | None,
        typer.Option(
            "--projector-type",
            metavar="TYPE",
            help="Type of the projector, such as f16 or Q8_0.  [default: f16; chosen with --bpw]",
            show_default=False,
        ),
    ] = None,
    tensor: writing_options.Tensors = None,
    tensor_file: writing_options.TensorFile = None,
    output_type: writing_options.OutputType = None,
    embedding_type: writing_options.EmbeddingType = None,
    pure: writing_options.Pure = False,
    imatrix: writing_options.Imatrix = None,
    *,
    sizes: OrderOptions,
    name: writing_options.Name = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Write this into the metadata, e.g. general.license=mit or general.tags=photo,caption. "
            "A key that llama.cpp does not know takes a type: KEY=int:5 (float, bool, str).",
            show_default=False,
        ),
    ] = None,
    split_max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Cut the language model into parts with tensors of at most this size, e.g. 4G or 500M.",
            show_default=False,
        ),
    ] = None,
    dry_run: writing_options.DryRun = False,
    verify: writing_options.Verify = True,
    overwrite: writing_options.Overwrite = False,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Convert a Hugging Face checkpoint to a bundle: language model, projector, manifest.

    \b
    qwen3vl-edge convert Qwen/Qwen3-VL-2B-Instruct --type Q4_K_M --projector-type Q8_0
    qwen3vl-edge convert ~/models/Qwen3-VL-8B-Thinking -o out --type bf16 --type Q8_0
    qwen3vl-edge convert Qwen/Qwen3-VL-235B-A22B-Instruct --dry-run
    qwen3vl-edge convert Qwen/Qwen3-VL-4B-Instruct --fit 3.5G --imatrix pictures.gguf
    qwen3vl-edge convert Qwen3-VL-30B-A3B-Instruct-FP8 --split-max-size 4G --set general.tags=mine,edge
    """
    from qwen3vl_edge.converters import parse_override
    from qwen3vl_edge.writing.split import parse_size

    ordering = Ordering.of(sizes, type or (), pure=pure)
    plan, chosen = plan_checkpoint(
        src,
        type or (() if ordering.is_given else ("bf16",)),
        projector_type,
        name,
        writing_options.wishes(tensor, tensor_file, output_type, embedding_type, pure),
        imatrix,
        overrides=[parse_override(item) for item in set or ()],
        split_max_bytes=None if split_max_size is None else parse_size(split_max_size),
        ordering=ordering,
        threads=threads,
        dry_run=dry_run,
    )
    writing_options.carry_out(
        plan,
        out or Path(f"{plan.name}-GGUF"),
        dry_run=dry_run,
        overwrite=overwrite,
        verify=verify,
        threads=threads,
        json=json,
        chosen=chosen,
    )


def plan_checkpoint(
    src: str,
    types: Sequence[str],
    projector_type: str | None,
    name: str | None,
    wishes: "Wishes",
    imatrix: Path | None,
    *,
    overrides: "Sequence[Override]" = (),
    split_max_bytes: int | None = None,
    ordering: Ordering,
    threads: int | None,
    dry_run: bool,
) -> "tuple[WritePlan, Chosen | None]":
    """Find the checkpoint that SRC means, fetching it if need be, and plan its conversion.

    Where a size is ordered, its errors are measured, for which the weights must be there.
    """
    from qwen3vl_edge.converters import Recipe, has_weights, ordered_halves, plan_conversion
    from qwen3vl_edge.demo import DEMO_NAME

    folder, origin = find_checkpoint(src, weights=not dry_run or ordering.order is not None)
    own, matrix = ordering.projector_type(projector_type), writing_options.read_imatrix(imatrix)
    recipe = Recipe(
        types=tuple(types),
        projector_type=own or "f16",
        name=DEMO_NAME if name is None and src == DEMO_NAME else name,
        split_max_bytes=split_max_bytes,
        overrides=tuple(overrides),
        origin=origin,
        wishes=wishes,
        imatrix=matrix,
        assignment=ordering.assignment(own, matrix),
    )
    if ordering.order is None:
        return plan_conversion(folder, recipe, from_config=dry_run and not has_weights(folder)), None

    def planner(assignment: "Assignment") -> "WritePlan":
        return plan_conversion(folder, replace(recipe, assignment=assignment))

    halves = ordered_halves(folder, recipe, with_projector=own is None)
    ordered = ordering.plan(halves, planner, threads)
    return ordered.plan, ordered.chosen


def find_checkpoint(src: str, *, weights: bool) -> "tuple[Path, Origin | None]":
    """Give the folder that SRC means, and where on the hub it comes from."""
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.converters import Origin
    from qwen3vl_edge.demo import CHECKPOINT, DEMO_NAME
    from qwen3vl_edge.hub import fetch_checkpoint, parse_reference

    if src == DEMO_NAME:
        return CHECKPOINT, None
    reference = None if Path(src).exists() else parse_reference(src)
    if reference is None:
        return Path(src), None
    fetched = fetch_checkpoint(reference, weights=weights, progress=view.progress())
    return fetched.folder, Origin(reference.repo_id, fetched.commit)
