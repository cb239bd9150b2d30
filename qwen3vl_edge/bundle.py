"""A bundle: the language model, the projector that belongs to it, and what is known of both."""

from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import MANIFEST_NAME, BundleFile, Manifest
from qwen3vl_edge.split_names import parse_part_name

__all__ = [
    "Bundle",
    "bundles_of",
    "find_bundle",
    "find_bundles",
    "language_models",
    "named_bundles",
    "verify_pair",
]

_PROJECTOR_PREFIX = "mmproj-"
_TEXT_ARCHITECTURES = ("qwen3vl", "qwen3vlmoe")
_PROJECTOR_TYPE = "qwen3vl_merger"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified pair of GGUF files; `manifest` is None for files that others have made.

    `model` is the first part of a split model.
    """

    folder: Path
    model: Path
    projector: Path
    manifest: Manifest | None

    @property
    def written(self) -> dict[Path, BundleFile]:
        """Return what the manifest says of each file of the pair; nothing of a projector from elsewhere."""
        if self.manifest is None:
            return {}
        parts = next((parts for parts in self.manifest.models if parts[0].name == self.model.name), ())
        files = {self.folder / part.name: part for part in parts}
        if (self.folder / self.manifest.projector.name).resolve() == self.projector.resolve():
            files[self.projector] = self.manifest.projector
        return files


def find_bundle(path: Path, projector: Path | None = None) -> Bundle:
    """Find and verify the pair that `path` means: a folder, or a language model as a GGUF file.

    In a folder the manifest decides; without one there must be one model and one ``mmproj-*.gguf``.
    Beside a file, the projector is the manifest's, else the one of the same name
    (``NAME-TYPE.gguf``, ``mmproj-NAME-TYPE.gguf``), else the only one. `projector` overrules all.
    A split model is named by its first part.

    Raises:
        UsageError: `path` does not exist, or it is not clear which files are meant.
        GGUFError: a file is damaged or missing, or the two do not belong together.
    """
    found = named_bundles(path, projector)
    if len(found) > 1:
        names = ", ".join(bundle.model.name for bundle in found)
        raise UsageError(f"{path}: several models, name one of the files: {names}")
    return _verified(found[0])


def find_bundles(path: Path) -> tuple[Bundle, ...]:
    """Find and verify every pair that `path` means: each model of a folder's manifest with its projector.

    Raises:
        UsageError, GGUFError: as `find_bundle`, but for several models in a manifest.
    """
    return tuple(_verified(bundle) for bundle in named_bundles(path))


def bundles_of(folder: Path, manifest: Manifest, projector: Path | None = None) -> tuple[Bundle, ...]:
    """Give the pairs of a manifest in `folder`, unverified: one for each language model.

    `projector` takes the place of the manifest's.
    """
    projector = projector or folder / manifest.projector.name
    return tuple(Bundle(folder, folder / parts[0].name, projector, manifest) for parts in manifest.models)


def named_bundles(path: Path, projector: Path | None = None) -> tuple[Bundle, ...]:
    """Find every pair that `path` means, as `find_bundle` does, unverified: files may be damaged or missing.

    Raises:
        UsageError: `path` does not exist, or it is not clear which files are meant.
        GGUFError: the manifest is damaged.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give a bundle folder or a GGUF file")
    folder = path if path.is_dir() else path.parent
    manifest = _manifest_for(folder, path)
    if manifest is None:
        model = path if path.is_file() else _only_model(folder)
        return (Bundle(folder, model, projector or _projector_for(model), None),)
    found = bundles_of(folder, manifest, projector)
    return tuple(bundle for bundle in found if path.is_dir() or bundle.model.name == path.name)


def _verified(bundle: Bundle) -> Bundle:
    _check_sizes(bundle)
    verify_pair(GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector))
    return bundle


def verify_pair(model: GGUFInfo, projector: GGUFInfo) -> None:
    """Check that the projector's output is what the language model takes in.

    Raises:
        GGUFError: naming the first thing that does not fit.
    """
    if model.architecture not in _TEXT_ARCHITECTURES:
        raise GGUFError(
            f"{model.path}: architecture is {model.architecture!r}, a Qwen3-VL language model "
            f"({' or '.join(_TEXT_ARCHITECTURES)}) is expected"
        )
    if projector.architecture != "clip" or projector.text("clip.projector_type") != _PROJECTOR_TYPE:
        raise GGUFError(f"{projector.path}: not a Qwen3-VL projector (clip with {_PROJECTOR_TYPE})")
    pairs = (
        (
            "embedding length",
            model.integer(f"{model.architecture}.embedding_length"),
            projector.integer("clip.vision.projection_dim"),
        ),
        (
            "number of DeepStack layers",
            model.integer(f"{model.architecture}.n_deepstack_layers"),
            sum(1 for flag in projector.array("clip.vision.is_deepstack_layers") if flag),
        ),
    )
    for what, expected, found in pairs:
        if expected != found:
            raise GGUFError(
                f"{projector.path}: does not belong to {model.path.name}: {what} is {found}, "
                f"the language model has {expected}"
            )


def _manifest_for(folder: Path, path: Path) -> Manifest | None:
    """Read the folder's manifest if it speaks of `path`."""
    if not (folder / MANIFEST_NAME).is_file():
        return None
    manifest = Manifest.read(folder)
    if path.is_file() and path.name not in {parts[0].name for parts in manifest.models}:
        return None
    return manifest


def _check_sizes(bundle: Bundle) -> None:
    """Check that the files of the pair are there, whole, as far as a manifest says."""
    for path, file in bundle.written.items():
        found = path.stat().st_size if path.is_file() else None
        if found != file.size_bytes:
            state = "is missing" if found is None else f"has {found} bytes instead of {file.size_bytes}"
            raise GGUFError(f"{path}: {state}; convert again")


def _only_model(folder: Path) -> Path:
    models = language_models(folder)
    if not models:
        raise UsageError(f"{folder}: no language model (*.gguf) in this folder; convert a checkpoint first")
    if len(models) > 1:
        raise UsageError(f"{folder}: several models, name one: {', '.join(file.name for file in models)}")
    return models[0]


def language_models(folder: Path) -> list[Path]:
    """List the GGUF files in `folder` that are no projectors by their names, and of split ones the first."""
    return [file for file in sorted(folder.glob("*.gguf")) if _is_model(file.name)]


def _is_model(name: str) -> bool:
    """Whether this is a language model's only or first file."""
    part = parse_part_name(name)
    return not name.startswith(_PROJECTOR_PREFIX) and (part is None or part.number == 1)


def _projector_for(model: Path) -> Path:
    if model.name.startswith(_PROJECTOR_PREFIX):
        raise UsageError(f"{model}: this is a projector; give the language model, and this with --mmproj")
    beside = sorted(model.parent.glob(f"{_PROJECTOR_PREFIX}*.gguf"))
    part = parse_part_name(model.name)
    stem = part.stem if part else model.stem
    base = stem.rpartition("-")[0] or stem  # NAME-TYPE without the type
    same_name = [file for file in beside if file.name.startswith(f"{_PROJECTOR_PREFIX}{base}-")]
    candidates = same_name or beside
    if not candidates:
        raise UsageError(f"{model}: no projector (mmproj-*.gguf) beside it; name one with --mmproj")
    if len(candidates) > 1:
        names = ", ".join(file.name for file in candidates)
        raise UsageError(f"{model}: several projectors beside it, choose with --mmproj: {names}")
    return candidates[0]
