"""`qwen3vl-edge convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options

if TYPE_CHECKING:
    from qwen3vl_edge.converters import Origin
    from qwen3vl_edge.manifest import Manifest
    from qwen3vl_edge.progress import Progress

__all__ = ["convert"]


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
    type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Type of the language model: bf16, f16, f32 or Q8_0. Several make a file each, "
            "in one pass over the checkpoint.  [default: bf16]",
            show_default=False,
        ),
    ] = None,
    projector_type: Annotated[
        str,
        typer.Option("--projector-type", metavar="TYPE", help="Type of the projector: f16, bf16 or f32."),
    ] = "f16",
    name: Annotated[
        str | None,
        typer.Option(
            help="Name in file names and metadata.  [default: the checkpoint's]", show_default=False
        ),
    ] = None,
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
            help="Cut the language model into parts of at most this size, e.g. 4G or 500M.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what would be written and what it takes, and stop. A config.json will do.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Read the files again and try them with a picture afterwards."
        ),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Convert a Hugging Face checkpoint to a bundle: language model, projector, manifest.

    \b
    qwen3vl-edge convert Qwen/Qwen3-VL-2B-Instruct --type Q8_0
    qwen3vl-edge convert ~/models/Qwen3-VL-8B-Thinking -o out --type bf16 --type Q8_0
    qwen3vl-edge convert Qwen/Qwen3-VL-235B-A22B-Instruct --dry-run
    qwen3vl-edge convert Qwen3-VL-30B-A3B-Instruct-FP8 --split-max-size 4G --set general.tags=mine,edge
    """
    from qwen3vl_edge.cli import plan_view, view
    from qwen3vl_edge.converters import Recipe, parse_override, plan_conversion
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.errors import EdgeError
    from qwen3vl_edge.quant.encode import QuantEncoder
    from qwen3vl_edge.runtime.threads import default_threads
    from qwen3vl_edge.writing import find_needs, run_plan
    from qwen3vl_edge.writing.split import parse_size

    progress, n_threads = view.progress(), threads or default_threads()
    overrides = tuple(parse_override(item) for item in set or ())
    split_max_bytes = None if split_max_size is None else parse_size(split_max_size)
    folder, origin = _find(src, dry_run, progress)
    recipe = Recipe(
        types=tuple(type or ("bf16",)),
        projector_type=projector_type,
        name=name or (DEMO_NAME if src == DEMO_NAME else None),
        split_max_bytes=split_max_bytes,
        overrides=overrides,
        origin=origin,
    )
    plan = plan_conversion(folder, recipe, from_config=dry_run and not any(folder.glob("*.safetensors")))
    out = out or Path(f"{plan.name}-GGUF")
    if dry_run:
        needs = find_needs(plan, out, n_threads)
        (plan_view.plan_json if json else plan_view.show_plan)(plan, out, needs)
        if needs.problem:
            raise EdgeError(needs.problem)
        return
    manifest = run_plan(
        plan, out, QuantEncoder(), overwrite=overwrite, n_threads=n_threads, progress=progress
    )
    _report(out, manifest, verify=verify, json=json, progress=progress)


def _report(out: Path, manifest: "Manifest", *, verify: bool, json: bool, progress: "Progress") -> None:
    """Print what was written, and verify it unless told not to."""
    from qwen3vl_edge.bundle import bundles_of
    from qwen3vl_edge.cli import tables, verification_view, view
    from qwen3vl_edge.errors import GGUFError
    from qwen3vl_edge.verification import verify_bundles

    if not json:
        tables.show_manifest(out, manifest)
    done = verify_bundles(bundles_of(out, manifest), progress=progress) if verify else None
    if json:
        view.print_json(manifest.to_dict() | {"verification": done and done.to_dict()})
    elif done:
        verification_view.show_outcome(done)
    if done and not done.ok:
        raise GGUFError(done.problems)


def _find(src: str, dry_run: bool, progress: "Progress") -> "tuple[Path, Origin | None]":
    """Give the folder that SRC means, and where on the hub it comes from."""
    from qwen3vl_edge.converters import Origin
    from qwen3vl_edge.demo import CHECKPOINT, DEMO_NAME
    from qwen3vl_edge.hub import fetch_checkpoint, parse_reference

    if src == DEMO_NAME:
        return CHECKPOINT, None
    reference = None if Path(src).exists() else parse_reference(src)
    if reference is None:
        return Path(src), None
    fetched = fetch_checkpoint(reference, weights=not dry_run, progress=progress)
    return fetched.folder, Origin(reference.repo_id, fetched.commit)
