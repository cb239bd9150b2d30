"""What a GGUF file, a bundle or a checkpoint is, as one value."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Literal

from qwen3vl_edge.bundle import find_bundles
from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults
from qwen3vl_edge.inspection_facts import (
    TextFacts,
    VisionFacts,
    text_of_config,
    text_of_gguf,
    vision_of_config,
    vision_of_gguf,
)
from qwen3vl_edge.inspection_files import FileSummary, TypeUse, file_summary, merged
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest

__all__ = [
    "FileSummary",
    "Inspection",
    "Kind",
    "TextFacts",
    "TypeUse",
    "VisionFacts",
    "WeakTensor",
    "inspect_path",
    "kind_of",
]

_N_WEAKEST = 5  # of each file
_LEAST_ERROR = 1e-3

Kind = Literal["gguf", "bundle", "checkpoint"]


@dataclass(frozen=True, slots=True)
class WeakTensor:
    """A tensor that lost much; `error` is the relative RMS error that its manifest tells."""

    file: str
    name: str
    type: str
    why: str
    error: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """The whole answer; `text` or `vision` is None where the path holds only the other half.

    `manifest` is the one that speaks of the path, if any.
    """

    path: str
    kind: Kind
    name: str
    architecture: str
    size_bytes: int
    n_parameters: int
    types: tuple[TypeUse, ...]
    files: tuple[FileSummary, ...]
    text: TextFacts | None
    vision: VisionFacts | None
    manifest: dict[str, object] | None
    weakest: tuple[WeakTensor, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain lists, dicts, strings and numbers."""
        return asdict(self)


def inspect_path(path: Path) -> Inspection:
    """Look at a GGUF file, a bundle folder or a checkpoint folder; reads headers only.

    Raises:
        UsageError: nothing of the kind is there.
        CheckpointError, GGUFError: what is there is damaged.
    """
    looks = {"gguf": _inspect_file, "bundle": _inspect_bundle, "checkpoint": _inspect_checkpoint}
    return looks[kind_of(path)](path)


def kind_of(path: Path) -> Kind:
    """Say what `path` is, by what is there; a bundle written into its checkpoint's folder is the bundle.

    Raises:
        UsageError: there is nothing.
    """
    if path.is_file():
        return "gguf"
    if (path / "config.json").is_file() and not (path / MANIFEST_NAME).is_file():
        return "checkpoint"
    if path.is_dir():
        return "bundle"
    raise UsageError(f"{path}: no such file or folder; give a model, a clip, or a folder of either")


def _inspect_file(path: Path) -> Inspection:
    info = GGUFInfo.read(path)
    name = info.metadata.get("general.name")
    summary, manifest = _summary(info), Manifest.read_beside(path)
    return Inspection(
        path=str(path),
        kind="gguf",
        name=name if isinstance(name, str) else path.stem,
        architecture=info.architecture,
        size_bytes=info.size_bytes,
        n_parameters=info.n_parameters,
        types=summary.types,
        files=(summary,),
        text=text_of_gguf(info),
        vision=vision_of_gguf(info),
        manifest=manifest.to_dict() if manifest else None,
        weakest=tuple(_weakest(manifest, {part.name for part in info.paths})) if manifest else (),
    )


def _inspect_bundle(folder: Path) -> Inspection:
    bundles = find_bundles(folder)
    first = bundles[0]
    models, projector = [GGUFInfo.read(bundle.model) for bundle in bundles], GGUFInfo.read(first.projector)
    files = tuple(_summary(info) for info in (*models, projector))
    return Inspection(
        path=str(folder),
        kind="bundle",
        name=first.manifest.name if first.manifest else first.model.stem,
        architecture=models[0].architecture,
        size_bytes=sum(file.size_bytes for file in files),
        n_parameters=models[0].n_parameters + projector.n_parameters,
        types=merged(files),
        files=files,
        text=text_of_gguf(models[0]),
        vision=vision_of_gguf(projector),
        manifest=first.manifest.to_dict() if first.manifest else None,
        weakest=tuple(_weakest(first.manifest)) if first.manifest else (),
    )


def _inspect_checkpoint(folder: Path) -> Inspection:
    config, checkpoint = read_config(folder), Checkpoint.open(folder)
    limits = PreprocessorDefaults.read(folder, config.vision.token_side_px)
    files = tuple(
        file_summary(
            [shard],
            config.architecture,
            None,
            [(ref.dtype, prod(ref.shape), ref.nbytes) for ref in checkpoint.tensors if ref.path == shard],
        )
        for shard in checkpoint.shards
    )
    return Inspection(
        path=str(folder),
        kind="checkpoint",
        name=folder.resolve().name,
        architecture=config.architecture,
        size_bytes=sum(file.size_bytes for file in files),
        n_parameters=sum(file.n_parameters for file in files),
        types=merged(files),
        files=files,
        text=text_of_config(config),
        vision=vision_of_config(config, limits),
        manifest=None,
    )


def _summary(info: GGUFInfo) -> FileSummary:
    tensors = [(tensor.type_name, tensor.n_elements, tensor.nbytes) for tensor in info.tensors]
    return file_summary(info.paths, info.architecture, info.file_type, tensors)


def _weakest(manifest: Manifest, names: Collection[str] | None = None) -> Iterator[WeakTensor]:
    """Give the tensors of each file, or of those of these names, that lost most.

    None of them lost less than a part in a thousand.
    """
    for file in manifest.files:
        if names is not None and file.name not in names:
            continue
        worst = sorted(file.tensors, key=lambda note: -note.error)[:_N_WEAKEST]
        for note in worst:
            if note.error >= _LEAST_ERROR:
                yield WeakTensor(file.name, note.name, note.type, note.why, note.error)
