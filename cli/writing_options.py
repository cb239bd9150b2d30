"""Options that `convert` and `quantize` share, and the way from a plan to files on the disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qwen3vl_edge.manifest import Manifest
    from qwen3vl_edge.progress import Progress
    from qwen3vl_edge.quant import Wishes
    from qwen3vl_edge.quant.allocation import Chosen
    from qwen3vl_edge.quant.imatrix import Imatrix as ImatrixFile
    from qwen3vl_edge.writing import WritePlan

__all__ = [
    "DryRun",
    "EmbeddingType",
    "Imatrix",
    "Name",
    "OutputType",
    "Overwrite",
    "Pure",
    "TensorFile",
    "Tensors",
    "Types",
    "Verify",
    "carry_out",
    "read_imatrix",
    "wishes",
]

Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Type of the language model, such as bf16, Q8_0, Q4_K_M; `quantize --list-types` shows all. "
        "Several make a file each, in one pass.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        help="Name in the metadata and, as far as it is letters, digits, . - and _, in file names.  "
        "[default: the source's]",
        show_default=False,
    ),
]
Tensors = Annotated[
    list[str] | None,
    typer.Option(
        "--tensor",
        metavar="REGEX=TYPE",
        help=r"Type of the tensors whose names hold this expression, e.g. 'blk\.[0-3]\.ffn_down=Q6_K'; "
        "the first that is found decides; where rows do not fit TYPE, the next one is taken.",
        show_default=False,
    ),
]
TensorFile = Annotated[
    Path | None,
    typer.Option("--tensor-file", help="The same, one a line; # begins a comment.", show_default=False),
]
OutputType = Annotated[
    str | None,
    typer.Option(
        "--output-type",
        metavar="TYPE",
        help="Type of output.weight, whatever --tensor says; where the embedding stands for it, of that.",
        show_default=False,
    ),
]
EmbeddingType = Annotated[
    str | None,
    typer.Option(
        "--embedding-type",
        metavar="TYPE",
        help="Type of token_embd.weight, whatever --tensor and --output-type say.",
        show_default=False,
    ),
]
Pure = Annotated[
    bool,
    typer.Option("--pure", help="One type for all tensors, no recipe of more bits here and there."),
]
Imatrix = Annotated[
    Path | None,
    typer.Option(
        "--imatrix",
        help="Importance matrix of llama.cpp, GGUF or .dat.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show files, tensors, types and why, bytes, memory and disk, and stop."),
]
Verify = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Read the files again and try them with a picture afterwards."),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files of the same names; a bundle only with all of its files."),
]


def wishes(
    tensors: list[str] | None,
    tensor_file: Path | None,
    output_type: str | None,
    embedding_type: str | None,
    pure: bool,
) -> "Wishes":
    """Read what the user wants otherwise than the recipes."""
    from qwen3vl_edge.quant import Wishes, find_tensor_type, parse_type_override, read_type_overrides

    overrides = [parse_type_override(item) for item in tensors or ()]
    return Wishes(
        overrides=(*overrides, *(read_type_overrides(tensor_file) if tensor_file else ())),
        output_type=find_tensor_type(output_type) if output_type else None,
        embedding_type=find_tensor_type(embedding_type) if embedding_type else None,
        pure=pure,
    )


def read_imatrix(path: Path | None) -> "ImatrixFile | None":
    """Read the importance matrix, if one is given."""
    from qwen3vl_edge.quant.imatrix import Imatrix as ImatrixFile

    return ImatrixFile.read(path) if path else None


def carry_out(
    plan: "WritePlan",
    out: Path,
    *,
    dry_run: bool,
    overwrite: bool,
    verify: bool,
    threads: int | None,
    json: bool,
    chosen: "Chosen | None" = None,
) -> None:
    """Show the types that were chosen for a size, and the plan, or write it, verify it, and say so."""
    from qwen3vl_edge.cli import order_view, plan_view, view
    from qwen3vl_edge.errors import EdgeError
    from qwen3vl_edge.quant.run import run_plan
    from qwen3vl_edge.runtime.threads import default_threads
    from qwen3vl_edge.writing import find_needs, refuse_overwriting

    n_threads = threads or default_threads()
    if chosen and not json:
        order_view.show_choices(chosen, plan)
    if dry_run:
        needs = find_needs(plan, out, n_threads)
        if json:
            plan_view.plan_json(plan, out, needs, order_view.choices_json(chosen) if chosen else None)
        else:
            plan_view.show_plan(plan, out, needs)
        refuse_overwriting(plan, out, overwrite=overwrite)
        if needs.problem:
            raise EdgeError(needs.problem)
        return
    progress = view.progress()
    _end_cleanly_when_terminated()
    manifest = run_plan(plan, out, overwrite=overwrite, n_threads=n_threads, progress=progress)
    _report(out, manifest, verify=verify, json=json, progress=progress)


def _end_cleanly_when_terminated() -> None:
    """Have SIGTERM, which ends a process at once by default, leave no unfinished files."""
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _report(out: Path, manifest: "Manifest", *, verify: bool, json: bool, progress: "Progress") -> None:
    """Print what was written, and verify it unless told not to."""
    from qwen3vl_edge.bundle import bundles_of
    from qwen3vl_edge.cli import tables, verification_view, view
    from qwen3vl_edge.errors import GGUFError
    from qwen3vl_edge.verification import verify_bundles

    if not json:
        tables.show_manifest(out, manifest)
    if verify and not manifest.is_pair:
        view.note(
            "not verified: only a language model with its projector can be tried; --no-verify is silent"
        )
        verify = False
    done = verify_bundles(bundles_of(out, manifest), progress=progress) if verify else None
    if json:
        view.print_json(manifest.to_dict() | {"verification": done and done.to_dict()})
    elif done:
        verification_view.show_outcome(done)
    if done and not done.ok:
        raise GGUFError(done.problems)
