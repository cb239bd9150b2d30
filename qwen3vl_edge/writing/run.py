"""Runs a plan: checks the machine, writes all files, publishes them with a manifest."""

from collections.abc import Sequence
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, UsageError
from qwen3vl_edge.manifest import MANIFEST_NAME, BundleFile, Manifest, current_versions
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.runtime.threads import default_threads
from qwen3vl_edge.writing.encoder import Encoder
from qwen3vl_edge.writing.needs import find_needs
from qwen3vl_edge.writing.planned import WritePlan
from qwen3vl_edge.writing.publish import publish, temporary_path
from qwen3vl_edge.writing.write import Written, write_files

__all__ = ["run_plan"]


def run_plan(  # noqa: PLR0913
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
    paths = [out_dir / file.name for file in plan.files]
    is_pair = {file.role for file in plan.files} == {"model", "projector"}
    manifest_path = out_dir / MANIFEST_NAME if is_pair else None  # half a bundle has none
    _refuse_overwriting(out_dir, [*paths, *([manifest_path] if manifest_path else [])], overwrite=overwrite)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with publish(paths, manifest_path):
            problem = find_needs(plan, out_dir, n_threads).problem
            if problem:
                raise EdgeError(problem)
            with progress.task("writing", plan.n_bytes, "bytes") as task:
                temporaries = [temporary_path(path) for path in paths]
                written = write_files(plan.files, temporaries, encoder, n_threads, task)
            manifest = _manifest(plan, written)
            if manifest_path:
                manifest.write(temporary_path(manifest_path))
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


def _manifest(plan: WritePlan, written: Sequence[Written]) -> Manifest:
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
    return Manifest(plan.name, plan.source, files, current_versions())
