"""Runs a plan: checks the machine, writes all files, publishes them with a manifest."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, UsageError
from qwen3vl_edge.manifest import (
    MANIFEST_NAME,
    BundleFile,
    Manifest,
    TensorNote,
    current_versions,
    half_manifest_name,
)
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.runtime.threads import default_threads
from qwen3vl_edge.writing.encoder import Encoder
from qwen3vl_edge.writing.needs import find_needs
from qwen3vl_edge.writing.planned import PlannedTensor, WritePlan
from qwen3vl_edge.writing.publish import publish, temporary_path
from qwen3vl_edge.writing.sinks import Written
from qwen3vl_edge.writing.targets import Targets, refuse_overwriting
from qwen3vl_edge.writing.write import write_files

__all__ = ["write_bundle"]


def write_bundle(  # noqa: PLR0913
    plan: WritePlan,
    out_dir: Path,
    encoder: Encoder,
    *,
    overwrite: bool = False,
    n_threads: int | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Write what was planned into `out_dir` (made if need be), and say what that was.

    Args:
        plan: The files.
        out_dir: Where they and the manifest go.
        encoder: Makes the bytes of the tensors.
        overwrite: Replace files of the same names; nothing of the old ones is lost before all is written.
        n_threads: None takes the cores that this process may use.
        progress: Told the bytes written.

    Raises:
        UsageError: the plan has no weights, or files are in the way.
        CheckpointError: values that cannot be written, or a source that cannot be read.
        EdgeError: the disk or the memory is too small, or the disk refused.
    """
    if not plan.has_weights:
        raise UsageError(f"{plan.source.location}: has no weights (*.safetensors), nothing can be converted")
    n_threads = n_threads or default_threads()
    targets = Targets.of(plan, out_dir)
    refuse_overwriting(plan, out_dir, overwrite=overwrite)
    made = _make_folder(out_dir)
    try:
        with publish(targets.files, targets.manifests, targets.stale):
            refuse_overwriting(plan, out_dir, overwrite=overwrite)  # another run may have ended meanwhile
            problem = find_needs(plan, out_dir, n_threads).problem
            if problem:
                raise EdgeError(problem)
            with progress.task("writing", plan.n_bytes, "bytes") as task:
                temporaries = [temporary_path(path) for path in targets.files]
                written = write_files(plan.files, temporaries, encoder, n_threads, task)
            manifest = _manifest(plan, written, encoder)
            _write_manifests(manifest, targets)
    except OSError as failure:
        where = failure.filename or out_dir
        raise EdgeError(
            f"{where}: cannot be written ({failure.strerror}); all is as it was before"
        ) from failure
    finally:
        for folder in made:  # those that stayed empty
            with suppress(OSError):
                folder.rmdir()
    return manifest


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents; returns those that were not there, the deepest first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise EdgeError(f"{folder}: cannot be made ({failure.strerror}); choose another with -o") from failure
    return made


def _write_manifests(manifest: Manifest, targets: Targets) -> None:
    """Write the manifest of a bundle, or one for each language model or projector alone."""
    for path in targets.manifests:
        files = [
            file for file in manifest.files if path.name in (MANIFEST_NAME, half_manifest_name(file.name))
        ]
        replace(manifest, files=tuple(files)).write(temporary_path(path))


def _manifest(plan: WritePlan, written: Sequence[Written], encoder: Encoder) -> Manifest:
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
            tensors=tuple(_note(tensor, encoder) for tensor in item.planned.tensors),
        )
        for item in written
    )
    return Manifest(plan.name, plan.source, files, current_versions(), recipe=plan.recipe)


def _note(tensor: PlannedTensor, encoder: Encoder) -> TensorNote:
    error = encoder.error(tensor)
    return TensorNote(tensor.name, tensor.kind.name, tensor.why, float(f"{error:.4g}"))
