"""The use case: a Hugging Face checkpoint becomes a bundle of two GGUF files and a manifest."""

import hashlib
from pathlib import Path

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.converters.plan import ConversionPlan, plan_conversion
from qwen3vl_edge.converters.write import Written, publish, write_planned
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
        CheckpointError: every fault of the checkpoint, found before a byte is written.
        EdgeError: the disk refused.
    """
    plan = plan_conversion(src, type=type, projector_type=projector_type, name=name)
    return run_plan(plan, out_dir, overwrite=overwrite, progress=progress)


def run_plan(
    plan: ConversionPlan, out_dir: Path, *, overwrite: bool = False, progress: Progress = SILENT
) -> Bundle:
    """Write what was planned; raises as `convert` does."""
    names = [*(file.name for file in plan.files), MANIFEST_NAME]
    _refuse_overwriting(out_dir, names, overwrite=overwrite)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with publish(out_dir, names), progress.task("converting", plan.data_bytes, "bytes") as task:
            written = [write_planned(file, out_dir, task) for file in plan.files]
            manifest = _manifest(plan, written)
            manifest.write(out_dir / f".{MANIFEST_NAME}.part")
    except OSError as failure:
        where = failure.filename or out_dir
        raise EdgeError(
            f"{where}: cannot be written ({failure.strerror}); nothing was left behind"
        ) from failure
    model, projector = (out_dir / file.name for file in plan.files)
    return Bundle(out_dir, model, projector, manifest)


def _refuse_overwriting(out_dir: Path, names: list[str], *, overwrite: bool) -> None:
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir}: is a file, a folder is expected")
    existing = [name for name in names if (out_dir / name).exists()]
    if existing and not overwrite:
        raise UsageError(
            f"{out_dir}: already holds {', '.join(existing)}; choose another folder or overwrite"
        )


def _manifest(plan: ConversionPlan, written: list[Written]) -> Manifest:
    files = tuple(
        BundleFile(
            role=item.planned.role,
            name=item.planned.name,
            size_bytes=item.size_bytes,
            sha256=item.sha256,
            type=item.planned.type,
            tensor_types=item.planned.tensor_types,
        )
        for item in written
    )
    source = Source(str(plan.checkpoint.folder), _source_files(plan.checkpoint))
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
