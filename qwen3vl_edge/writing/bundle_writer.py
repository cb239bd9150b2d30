"""Runs a plan: checks the machine, writes all files, publishes them with a manifest."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, GGUFError, UsageError
from qwen3vl_edge.manifest import MANIFEST_NAME, BundleFile, Manifest, TensorNote, current_versions
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.runtime.threads import default_threads
from qwen3vl_edge.writing.encoder import Encoder
from qwen3vl_edge.writing.needs import find_needs
from qwen3vl_edge.writing.planned import PlannedTensor, WritePlan
from qwen3vl_edge.writing.publish import publish, temporary_path
from qwen3vl_edge.writing.write import Written, write_files

__all__ = ["refuse_overwriting", "write_bundle"]


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
        overwrite: Replace files of the same names.
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
    paths, manifest_path = _targets(plan, out_dir)
    refuse_overwriting(plan, out_dir, overwrite=overwrite)
    made = _make_folder(out_dir)
    try:
        with publish(paths, manifest_path):
            refuse_overwriting(plan, out_dir, overwrite=overwrite)  # another run may have ended meanwhile
            problem = find_needs(plan, out_dir, n_threads).problem
            if problem:
                raise EdgeError(problem)
            with progress.task("writing", plan.n_bytes, "bytes") as task:
                temporaries = [temporary_path(path) for path in paths]
                written = write_files(plan.files, temporaries, encoder, n_threads, task)
            manifest = _manifest(plan, written, encoder)
            if manifest_path:
                manifest.write(temporary_path(manifest_path))
            replaced = _files_of(manifest_path) if manifest_path else []
        for path in replaced:  # of the bundle that was there
            if path not in paths:
                path.unlink(missing_ok=True)
    except OSError as failure:
        where = failure.filename or out_dir
        raise EdgeError(
            f"{where}: cannot be written ({failure.strerror}); nothing was left behind"
        ) from failure
    finally:
        for folder in made:  # those that stayed empty
            with suppress(OSError):
                folder.rmdir()
    return manifest


def refuse_overwriting(plan: WritePlan, out_dir: Path, *, overwrite: bool) -> None:
    """Refuse files that are in the way.

    Raises:
        UsageError: naming them, or saying that `out_dir` is a file or cannot be written.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir}: is a file, a folder is expected")
    there = next(folder for folder in (out_dir.absolute(), *out_dir.absolute().parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there}: cannot be written to; choose another folder with -o")
    if any(path.parent.resolve() == out_dir.resolve() for path in plan.inputs):
        raise UsageError(f"{out_dir}: is where the source lies; choose another folder with -o")
    paths, manifest_path = _targets(plan, out_dir)
    existing = [path.name for path in (*paths, manifest_path) if path is not None and path.exists()]
    if existing and not overwrite:
        raise UsageError(
            f"{out_dir}: already holds {', '.join(existing[:9])}; choose another folder or overwrite"
        )


def _targets(plan: WritePlan, out_dir: Path) -> tuple[list[Path], Path | None]:
    """Return the paths of the files and of the manifest, which half a bundle does not have."""
    is_pair = {file.role for file in plan.files} == {"model", "projector"}
    return [out_dir / file.name for file in plan.files], out_dir / MANIFEST_NAME if is_pair else None


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents; returns those that were not there, the deepest first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise EdgeError(f"{folder}: cannot be made ({failure.strerror}); choose another with -o") from failure
    return made


def _files_of(manifest_path: Path) -> list[Path]:
    """Return the files of the bundle that a manifest describes; none if it cannot be read."""
    try:
        return [manifest_path.with_name(file.name) for file in Manifest.read(manifest_path.parent).files]
    except GGUFError:
        return []


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
    return Manifest(plan.name, plan.source, files, current_versions())


def _note(tensor: PlannedTensor, encoder: Encoder) -> TensorNote:
    error = encoder.error(tensor)
    return TensorNote(tensor.name, tensor.kind.name, tensor.why, float(f"{error:.4g}"))
