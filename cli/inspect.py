"""`qwen3vl-edge inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.errors import GGUFError, UsageError

if TYPE_CHECKING:
    from qwen3vl_edge.inspection import Inspection
    from qwen3vl_edge.verification import Verification

__all__ = ["inspect"]

_MODEL_SUFFIXES = frozenset({".gguf", ".safetensors"})

_CLIP_SUFFIXES = frozenset(
    {".3gp", ".apng", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".ogv", ".ts", ".webm", ".webp", ".wmv"}
)


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Bundle or checkpoint folder, GGUF file, clip, folder of pictures, or `demo`.",
            show_default=False,
        ),
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Also check the files of a bundle: structure, hashes, and one forward with a picture; of a "
            "clip, decode all of it.",
        ),
    ] = False,
    mmproj: options.Mmproj = None,
    json: options.Json = False,
) -> None:
    """Show what a GGUF file, a bundle, a checkpoint, an importance matrix or a clip holds.

    With --verify the files are read from end to end, compared with the manifest, and opened in a process
    of their own to read a prompt with a picture; exit code 1 says that a check has failed, and every check
    is shown. A clip is known by its content, a folder of pictures is the clip of these.

    \b
    qwen3vl-edge inspect demo
    qwen3vl-edge inspect Qwen3-VL-2B-Instruct-GGUF --json
    qwen3vl-edge inspect Qwen3-VL-2B-Instruct-GGUF --verify
    qwen3vl-edge inspect clip.mp4
    qwen3vl-edge inspect recordings/film.mkv --verify
    """
    from qwen3vl_edge.cli import clip_facts, imatrix_view, tables, verification_view, view
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.inspection import kind_of
    from qwen3vl_edge.quant.imatrix_kind import is_imatrix

    if mmproj and not verify:
        raise UsageError("--mmproj needs --verify: without it each file is shown for itself")
    if path != DEMO_NAME and _is_clip(Path(path)):
        if mmproj:
            raise UsageError(f"{path}: --mmproj is for models, and this is none")
        clip_facts.show(Path(path), as_json=json, verify=verify)
        return
    if path != DEMO_NAME and is_imatrix(Path(path)):
        if verify or mmproj:
            raise UsageError(f"{path}: is an importance matrix; --verify and --mmproj are for models")
        imatrix_view.show_file(Path(path), as_json=json)
        return
    named = options.find_model(path, None, view.progress()).folder if path == DEMO_NAME else Path(path)
    if verify and kind_of(named) == "checkpoint":
        raise UsageError(f"{path}: --verify is for bundles; convert this checkpoint, which also verifies")
    done = _verified(named, mmproj) if verify else None
    inspection = _inspection(named, done)
    if json:
        shown = inspection.to_dict() if inspection else {"path": str(named)}
        view.print_json(shown | ({"verification": done.to_dict()} if done else {}))
    else:
        if inspection:
            tables.show_inspection(inspection)
        if done:
            verification_view.show_checks(done)
    if done and not done.ok:
        raise GGUFError(done.problems)


def _is_clip(path: Path) -> bool:
    """Whether `path` is for the eye: a file by its content, or by its name; a folder by its pictures."""
    from qwen3vl_edge.captions.formats import HEAD_BYTES, kind_of_content
    from qwen3vl_edge.images import IMAGE_SUFFIXES

    if path.is_dir():
        suffixes = {file.suffix.lower() for file in path.iterdir()}
        is_model = suffixes & _MODEL_SUFFIXES or any(map(Path.is_file, _of_models(path)))
        return bool(suffixes & IMAGE_SUFFIXES) and not is_model
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"GGUF"):
        return False
    return kind_of_content(head) is not None or path.suffix.lower() in _CLIP_SUFFIXES


def _of_models(folder: Path) -> tuple[Path, ...]:
    from qwen3vl_edge.manifest import MANIFEST_NAME

    return folder / "config.json", folder / MANIFEST_NAME


def _inspection(path: Path, done: "Verification | None") -> "Inspection | None":
    """Look at `path`; None if that fails and the checks have already said why."""
    from qwen3vl_edge.inspection import inspect_path

    try:
        return inspect_path(path)
    except GGUFError:
        if done is None or done.ok:
            raise
        return None


def _verified(path: Path, mmproj: Path | None) -> "Verification":
    from qwen3vl_edge.bundle import named_bundles
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.verification import verify_bundles

    return verify_bundles(named_bundles(path, mmproj), progress=view.progress())
