"""The use case: a Hugging Face checkpoint becomes a bundle of GGUF files and a manifest."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from qwen3vl_edge.bundle import Bundle, bundles_of
from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.converters.needs import find_needs
from qwen3vl_edge.converters.plan import ConversionPlan, Recipe, plan_conversion
from qwen3vl_edge.converters.publish import publish, temporary_path
from qwen3vl_edge.converters.write import Written, write_files
from qwen3vl_edge.errors import EdgeError, UsageError
from qwen3vl_edge.manifest import (
    MANIFEST_NAME,
    BundleFile,
    Manifest,
    Source,
    SourceFile,
    current_versions,
)
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.runtime.threads import default_threads

__all__ = ["convert", "run_plan"]

_SMALL_SUFFIXES = (".json", ".txt", ".jinja", ".md")


def convert(  # noqa: PLR0913
    src: Path,
    out_dir: Path,
    *,
    type: str = "bf16",
    projector_type: str = "f16",
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Convert the checkpoint in `src` to a bundle in `out_dir` (made if need be).

    `plan_conversion` with a `Recipe`, and `run_plan`, can do more.

    Args:
        src: A folder in Hugging Face layout.
        out_dir: Where ``NAME-TYPE.gguf``, ``mmproj-NAME-TYPE.gguf`` and ``manifest.json`` go.
        type: Of the language model: bf16, f16, f32 or Q8_0.
        projector_type: Of the projector: f16, bf16 or f32.
        name: Of the model; None: after the folder.
        overwrite: Replace files of the same names.
        progress: Told the bytes written.

    Raises:
        UsageError: wrong options, not a checkpoint folder, or files in the way.
        CheckpointError: every fault of the checkpoint; all but those of the values before a byte is written.
        EdgeError: the disk is too small or refused.
    """
    plan = plan_conversion(src, Recipe((type,), projector_type, name))
    manifest = run_plan(plan, out_dir, overwrite=overwrite, progress=progress)
    return bundles_of(out_dir, manifest)[0]


def run_plan(
    plan: ConversionPlan,
    out_dir: Path,
    *,
    overwrite: bool = False,
    n_threads: int | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Write what was planned and say what that was; raises as `convert` does."""
    if not plan.has_weights:
        raise UsageError(
            f"{plan.checkpoint.folder}: has no weights (*.safetensors), nothing can be converted"
        )
    n_threads = n_threads or default_threads()
    paths = [out_dir / name for name in (*(file.name for file in plan.files), MANIFEST_NAME)]
    _refuse_overwriting(out_dir, paths, overwrite=overwrite)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with publish(paths):
            problem = find_needs(plan, out_dir, n_threads).problem
            if problem:
                raise EdgeError(problem)
            temporaries = [temporary_path(path) for path in paths]
            with progress.task("converting", plan.n_bytes, "bytes") as task:
                written = write_files(plan.files, temporaries[:-1], n_threads, task)
            manifest = _manifest(plan, written)
            manifest.write(temporaries[-1])
    except OSError as failure:
        where = failure.filename or out_dir
        raise EdgeError(
            f"{where}: cannot be written ({failure.strerror}); nothing was left behind"
        ) from failure
    return manifest


def _refuse_overwriting(out_dir: Path, paths: Sequence[Path], *, overwrite: bool) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir}: is a file, a folder is expected")
    existing = [path.name for path in paths if path.exists()]
    if existing and not overwrite:
        raise UsageError(
            f"{out_dir}: already holds {', '.join(existing)}; choose another folder or overwrite"
        )


def _manifest(plan: ConversionPlan, written: Sequence[Written]) -> Manifest:
    files = tuple(
        BundleFile(
            role=item.planned.role,
            name=item.planned.name,
            size_bytes=item.size_bytes,
            sha256=item.sha256,
            type=item.planned.type,
            tensor_types=item.planned.tensor_types,
            part=item.planned.part,
            n_parts=item.planned.n_parts,
        )
        for item in written
    )
    origin = plan.origin
    source = Source(
        location=origin.repository if origin else str(plan.checkpoint.folder),
        revision=origin.revision if origin else None,
        files=_source_files(plan.checkpoint),
    )
    return Manifest(plan.name, source, files, current_versions())


def _source_files(checkpoint: Checkpoint) -> tuple[SourceFile, ...]:
    """Identify the checkpoint cheaply: small files whole, shards by their headers."""
    small = [file for file in sorted(checkpoint.folder.iterdir()) if file.suffix in _SMALL_SUFFIXES]
    return tuple(
        SourceFile(file.name, file.stat().st_size, _sha256(file, _identifying_bytes(file)))
        for file in [*checkpoint.shards, *(file for file in small if file.is_file())]
    )


def _identifying_bytes(file: Path) -> int | None:
    """Return how many bytes identify the file: a shard's header, None for all of any other."""
    if file.suffix != ".safetensors":
        return None
    with file.open("rb") as shard:
        return 8 + int.from_bytes(shard.read(8), "little")


def _sha256(file: Path, nbytes: int | None) -> str:
    with file.open("rb") as opened:
        return hashlib.sha256(opened.read(nbytes)).hexdigest()
