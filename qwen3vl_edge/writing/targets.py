"""Where a plan's files go, and what stands in their way there."""

import os
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import GGUFError, UsageError, join_problems
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest, half_manifest_name
from qwen3vl_edge.writing.planned import WritePlan

__all__ = ["Targets", "refuse_overwriting"]


@dataclass(frozen=True, slots=True)
class Targets:
    """Paths: of each file, of the manifests, and of manifests that describe what is replaced and go with it.

    A bundle has one manifest; language models or projectors alone have one each.
    """

    files: tuple[Path, ...]
    manifests: tuple[Path, ...]
    stale: tuple[Path, ...]

    @classmethod
    def of(cls, plan: WritePlan, folder: Path) -> "Targets":
        """Give all files of `plan` places in `folder`."""
        halves = tuple(dict.fromkeys(folder / half_manifest_name(file.name) for file in plan.files))
        files = tuple(folder / file.name for file in plan.files)
        is_pair = {file.role for file in plan.files} == {"model", "projector"}
        return cls(files, (folder / MANIFEST_NAME,), halves) if is_pair else cls(files, halves, ())


def refuse_overwriting(plan: WritePlan, folder: Path, *, overwrite: bool) -> None:
    """Refuse to write where files are in the way.

    Raises:
        UsageError: naming them, or saying that `folder` is a file, cannot be written or is the source's, or
            that a bundle which is there would lose its manifest or one of its files.
    """
    _refuse_folder(folder)
    targets = Targets.of(plan, folder)
    every = (*targets.files, *targets.manifests)
    if _holds_inputs(folder, plan, every):
        raise UsageError(f"{folder}: is where the source lies; choose another folder with -o")
    if odd := [path.name for path in every if os.path.lexists(path) and not path.is_file()]:
        raise UsageError(
            f"{folder}: {join_problems(odd, 3)}: no regular file; move it away, or choose another folder"
        )
    existing = [path.name for path in every if path.exists()]
    if existing and not overwrite:
        raise UsageError(
            f"{folder}: already holds {', '.join(existing[:9])}; choose another folder or overwrite"
        )
    _refuse_breaking_a_bundle(folder, targets)


def _refuse_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, a folder is expected")
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        raise UsageError(f"{there}: cannot be written to; choose another folder with -o")


def _holds_inputs(folder: Path, plan: WritePlan, targets: tuple[Path, ...]) -> bool:
    """Whether the source lies in `folder`, or a target is one of its files, however they are named."""
    homes = {home for path in plan.inputs for home in (path.parent, path.resolve().parent)}
    if any(folder.exists() and home.exists() and home.samefile(folder) for home in homes):
        return True
    there = [path for path in targets if path.exists()]
    return any(path.samefile(source) for path in there for source in plan.inputs if source.exists())


def _refuse_breaking_a_bundle(folder: Path, targets: Targets) -> None:
    """Refuse to take the manifest from files of a bundle, or files from under its manifest."""
    try:
        named = [file.name for file in Manifest.read(folder).files]
    except GGUFError:  # there is none, or nobody can read it
        return
    ours = {path.name for path in targets.files}
    if folder / MANIFEST_NAME not in targets.manifests:
        lost = [name for name in named if name in ours]
        if lost:
            raise UsageError(
                f"{folder}: {join_problems(lost, 3)} belongs to the bundle of {MANIFEST_NAME}; "
                "choose another folder"
            )
        return
    left = [name for name in named if name not in ours and (folder / name).exists()]
    if left:
        raise UsageError(
            f"{folder}: the bundle there also has {join_problems(left, 3)}, which this run does not write; "
            "choose another folder, or remove what is not needed any more"
        )
