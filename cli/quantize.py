"""`qwen3vl-edge quantize`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options, writing_options
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.cli.order_options import Ordering, OrderOptions

if TYPE_CHECKING:
    from qwen3vl_edge.cli.gguf_source import GGUFFiles
    from qwen3vl_edge.quant import ModelTraits, SourceTensor
    from qwen3vl_edge.quant.allocation import Chosen
    from qwen3vl_edge.quant.assignment import Assignment
    from qwen3vl_edge.quant.quantize import QuantRecipe
    from qwen3vl_edge.writing import WritePlan

__all__ = ["quantize"]


@grouped
def quantize(
    src: Annotated[
        str | None,
        typer.Argument(
            metavar="SRC",
            help="Bundle folder, GGUF file, checkpoint folder, ORG/NAME on the hub, or `demo`.",
            show_default=False,
        ),
    ] = None,
    type: writing_options.Types = None,
    projector_type: Annotated[
        str | None,
        typer.Option(
            "--projector-type",
            metavar="TYPE",
            help="Type of the projector.  [default: as it is; f16 from a checkpoint; chosen with --bpw]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the files.  [default: ./NAME-TYPE]", show_default=False),
    ] = None,
    tensor: writing_options.Tensors = None,
    tensor_file: writing_options.TensorFile = None,
    output_type: writing_options.OutputType = None,
    embedding_type: writing_options.EmbeddingType = None,
    pure: writing_options.Pure = False,
    imatrix: writing_options.Imatrix = None,
    *,
    sizes: OrderOptions,
    keep_split: Annotated[
        bool, typer.Option("--keep-split", help="Cut the result where the source is cut.")
    ] = False,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Quantize what is quantized already: a double loss.")
    ] = False,
    name: writing_options.Name = None,
    list_types: Annotated[
        bool, typer.Option("--list-types", help="Show every type, with sizes if SRC is given, and stop.")
    ] = False,
    dry_run: writing_options.DryRun = False,
    verify: writing_options.Verify = True,
    overwrite: writing_options.Overwrite = False,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Quantize a model, language model and projector, straight from whatever holds it.

    \b
    qwen3vl-edge quantize Qwen3-VL-2B-Instruct-GGUF --type Q4_K_M --projector-type Q8_0
    qwen3vl-edge quantize ~/models/Qwen3-VL-8B-Thinking --type Q6_K --type Q4_K_M --type IQ4_XS
    qwen3vl-edge quantize model-BF16.gguf --type Q4_K_M --tensor 'blk\\.[0-3]\\.ffn_down=Q6_K' --dry-run
    qwen3vl-edge quantize Qwen3-VL-8B-Instruct-GGUF --bpw 4.5 --imatrix pictures.gguf --save-recipe 8B.json
    qwen3vl-edge quantize ~/models/Qwen3-VL-4B-Instruct --fit 3.5G --types Q4_K,Q5_K,Q6_K,Q8_0 --dry-run
    qwen3vl-edge quantize demo --list-types
    """
    from qwen3vl_edge.cli.gguf_source import find_gguf
    from qwen3vl_edge.errors import UsageError

    if list_types:
        _show_types(src, has_imatrix=imatrix is not None, as_json=json)
        return
    ordering = Ordering.of(sizes, type or (), pure=pure)
    if src is None or not (type or ordering.is_given):
        raise UsageError("give a model and at least one --type, or --bpw or --fit; --list-types shows types")
    wishes = writing_options.wishes(tensor, tensor_file, output_type, embedding_type, pure)
    files = find_gguf(src)
    if files is None:
        from qwen3vl_edge.cli.convert import plan_checkpoint

        if keep_split or allow_requantize:
            raise UsageError("--keep-split and --allow-requantize are for GGUF files")
        plan, chosen = plan_checkpoint(
            src,
            type or (),
            projector_type,
            name,
            wishes,
            imatrix,
            ordering=ordering,
            threads=threads,
            dry_run=dry_run,
        )
    else:
        from qwen3vl_edge.quant.quantize import QuantRecipe

        matrix = writing_options.read_imatrix(imatrix)
        own = ordering.projector_type(projector_type, is_pair=bool(files.model and files.projector))
        recipe = QuantRecipe(
            types=tuple(type or ()),
            projector_type=own,
            wishes=wishes,
            keep_split=keep_split,
            allow_requantize=allow_requantize,
            imatrix=matrix,
            assignment=ordering.assignment(own, matrix),
        )
        plan, chosen = _plan(files, recipe, name, ordering, threads)
    kinds = {file.type for file in plan.files if file.role == plan.files[0].role}
    writing_options.carry_out(
        plan,
        out or Path(f"{plan.name}-{kinds.pop() if len(kinds) == 1 else 'GGUF'}"),
        dry_run=dry_run,
        overwrite=overwrite,
        verify=verify,
        threads=threads,
        json=json,
        chosen=chosen,
    )


def _plan(
    files: "GGUFFiles", recipe: "QuantRecipe", name: str | None, ordering: Ordering, threads: int | None
) -> "tuple[WritePlan, Chosen | None]":
    """Plan GGUF files; a language model without its projector is said to be alone."""
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.quant.quantize import ordered_halves, plan_quantization

    if files.alone and recipe.projector_type:
        raise UsageError(f"--projector-type: {files.alone}; leave it out, or put the two into one folder")
    if files.alone:
        view.note(f"only the language model is quantized: {files.alone}")
    if ordering.order is None:
        return plan_quantization(files.model, files.projector, recipe, name=name), None

    def planner(assignment: "Assignment") -> "WritePlan":
        chosen = replace(recipe, assignment=assignment)
        return plan_quantization(files.model, files.projector, chosen, name=name)

    ordered = ordering.plan(ordered_halves(files.model, files.projector, recipe), planner, threads)
    return ordered.plan, ordered.chosen


def _show_types(src: str | None, *, has_imatrix: bool, as_json: bool) -> None:
    from qwen3vl_edge.cli import type_list
    from qwen3vl_edge.quant.sizes import sizes_by_type

    tensors, traits = ([], None) if src is None else _tensors(src)
    sizes = sizes_by_type(tensors, traits, has_imatrix=has_imatrix)
    type_list.show_types(sizes, of_model=src is not None, as_json=as_json)


def _tensors(src: str) -> "tuple[list[SourceTensor], ModelTraits]":
    """List the tensors of the language model that SRC means."""
    from qwen3vl_edge.cli.convert import find_checkpoint
    from qwen3vl_edge.cli.gguf_source import find_gguf
    from qwen3vl_edge.converters import model_tensors
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.quant.gguf_facts import listed, traits_of

    files = find_gguf(src)
    if files is None:
        return model_tensors(find_checkpoint(src, weights=False)[0])
    if files.model is None:
        raise UsageError(f"{src}: is a projector; sizes are shown for language models")
    return listed(files.model), traits_of(files.model)
