"""`qwen3vl-edge quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options, writing_options

if TYPE_CHECKING:
    from qwen3vl_edge.gguf_info import GGUFInfo
    from qwen3vl_edge.quant import ModelTraits, SourceTensor

__all__ = ["quantize"]


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
            help="Type of the projector.  [default: as it is; f16 from a checkpoint]",
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
    qwen3vl-edge quantize demo --list-types
    """
    from qwen3vl_edge.cli import type_list
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.quant.sizes import sizes_by_type

    if list_types:
        tensors, traits = ([], None) if src is None else _tensors(src)
        type_list.show_types(sizes_by_type(tensors, traits), of_model=src is not None, as_json=json)
        return
    if src is None or not type:
        raise UsageError("give a model and at least one --type; --list-types shows them all")
    wishes = writing_options.wishes(tensor, tensor_file, output_type, embedding_type, pure)
    kept = _gguf_files(src)
    if kept is None:
        from qwen3vl_edge.cli.convert import plan_checkpoint

        if keep_split or allow_requantize:
            raise UsageError("--keep-split and --allow-requantize are for GGUF files")
        plan = plan_checkpoint(src, type, projector_type or "f16", name, wishes, imatrix, dry_run=dry_run)
    else:
        from qwen3vl_edge.quant.quantize import QuantRecipe, plan_quantization

        recipe = QuantRecipe(
            types=tuple(type),
            projector_type=projector_type,
            wishes=wishes,
            keep_split=keep_split,
            allow_requantize=allow_requantize,
            imatrix=writing_options.read_imatrix(imatrix),
        )
        plan = plan_quantization(*kept, recipe, name=name)
    writing_options.carry_out(
        plan,
        out or Path(f"{plan.name}-{type[0].upper() if len(type) == 1 else 'GGUF'}"),
        dry_run=dry_run,
        overwrite=overwrite,
        verify=verify,
        threads=threads,
        json=json,
    )


def _tensors(src: str) -> "tuple[list[SourceTensor], ModelTraits]":
    """List the tensors of the language model that SRC means."""
    from qwen3vl_edge.cli.convert import find_checkpoint
    from qwen3vl_edge.converters import model_tensors
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.quant.quantize import listed, traits_of

    files = _gguf_files(src)
    if files is None:
        return model_tensors(find_checkpoint(src, weights=False)[0])
    if files[0] is None:
        raise UsageError(f"{src}: is a projector; sizes are shown for language models")
    return listed(files[0]), traits_of(files[0])


def _gguf_files(src: str) -> "tuple[GGUFInfo | None, GGUFInfo | None] | None":
    """Read the language model and projector that SRC means; None if it means a checkpoint."""
    from qwen3vl_edge.bundle import find_bundle
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.gguf_info import GGUFInfo

    path = Path(src)
    if src == DEMO_NAME or not path.exists() or (path / "config.json").exists():
        return None
    if path.is_file():
        info = GGUFInfo.read(path)
        if info.architecture == "clip":
            return None, info
        try:
            bundle = find_bundle(path)
        except UsageError:  # no projector beside it, or several
            return info, None
        return info, GGUFInfo.read(bundle.projector)
    bundle = find_bundle(path)
    return GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
