"""manifest.json of a bundle: what was made, from what, by which versions.

Half a bundle, a language model or a projector alone, has ``NAME-TYPE.manifest.json`` beside it: a folder can
hold many of those, and the manifest of a bundle.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from qwen3vl_edge.errors import GGUFError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object
from qwen3vl_edge.manifest_notes import (
    MAX_PARTS,
    BundleFile,
    ImatrixNote,
    OrderNote,
    OverrideNote,
    RecipeNote,
    Role,
    Source,
    SourceFile,
    TensorNote,
)
from qwen3vl_edge.split_names import parse_part_name

__all__ = [
    "MANIFEST_NAME",
    "MAX_PARTS",
    "BundleFile",
    "ImatrixNote",
    "Manifest",
    "OrderNote",
    "OverrideNote",
    "RecipeNote",
    "Role",
    "Source",
    "SourceFile",
    "TensorNote",
    "current_versions",
    "half_manifest_name",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
_LIMIT_BYTES = 16 << 20
_DISTRIBUTIONS = ("qwen3vl-edge", "gguf", "llama-cpp-python")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of a manifest: one projector, and the language model in one or more types; or one of them.

    `recipe` is None in those of older versions.
    """

    name: str
    source: Source
    files: tuple[BundleFile, ...]
    versions: Mapping[str, str]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION
    recipe: RecipeNote | None = None

    @property
    def is_pair(self) -> bool:
        """Whether there are both a language model and a projector."""
        return {file.role for file in self.files} == {"model", "projector"}

    @property
    def projector(self) -> BundleFile:
        """Return the projector's file; `read` has made sure that there is one."""
        return next(file for file in self.files if file.role == "projector")

    @property
    def models(self) -> tuple[tuple[BundleFile, ...], ...]:
        """Return the language models, each as its parts in order."""
        found: dict[str, list[BundleFile]] = {}
        for file in self.files:
            if file.role == "model":
                found.setdefault(file.type, []).append(file)
        return tuple(tuple(sorted(parts, key=lambda file: file.part)) for parts in found.values())

    def to_dict(self) -> dict[str, object]:
        """Return the object that manifest.json holds."""
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read ``folder/manifest.json``.

        Raises:
            GGUFError: every fault of the file in one line.
        """
        return _read(folder / MANIFEST_NAME, is_pair=True)

    @classmethod
    def read_file(cls, path: Path) -> "Manifest":
        """Read the manifest `path`, of a bundle or of half of one.

        Raises:
            GGUFError: every fault of the file in one line.
        """
        return _read(path, is_pair=False)

    @classmethod
    def read_beside(cls, path: Path) -> "Manifest | None":
        """Read what a manifest says of the GGUF file `path` as it now is: the folder's, or its own.

        None where there is no such manifest, or the file has another size than it says.

        Raises:
            GGUFError: every fault of the file's own manifest in one line.
        """
        for manifest in (_of_folder(path.parent), _of_half(path)):
            named = {file.name: file for file in manifest.files} if manifest else {}
            if path.name in named and named[path.name].size_bytes == path.stat().st_size:
                return manifest
        return None

    def write(self, path: Path) -> None:
        """Write to `path` and make sure that it has reached the disk."""
        with path.open("w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


def half_manifest_name(file_name: str) -> str:
    """Return the name of the manifest of a GGUF file that is half a bundle; the parts of one share it."""
    part = parse_part_name(file_name)
    return f"{part.stem if part else file_name.removesuffix('.gguf')}.{MANIFEST_NAME}"


@cache
def current_versions() -> dict[str, str]:
    """Return the installed versions of this package and of the two that shape its output."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _of_folder(folder: Path) -> Manifest | None:
    """Read the manifest of a folder; a file of that name that is none says nothing of the files beside it."""
    try:
        return Manifest.read(folder)
    except GGUFError:
        return None


def _of_half(path: Path) -> Manifest | None:
    own = path.with_name(half_manifest_name(path.name))
    return _read(own, is_pair=False) if own.is_file() else None


def _read(path: Path, *, is_pair: bool) -> Manifest:
    fields = Fields(read_object(path, _LIMIT_BYTES, GGUFError), str(path))
    manifest = _manifest(fields)
    if is_pair and ([file.role for file in manifest.files].count("projector") != 1 or not manifest.models):
        fields.fault("files", "must hold one projector and at least one model")
    for parts in manifest.models:
        if [(file.part, file.n_parts) for file in parts] != [(i + 1, len(parts)) for i in range(len(parts))]:
            fields.fault("files", f"does not hold each part of {parts[0].name!r:.80} once")
    if fields.problems:
        raise GGUFError(join_problems(fields.problems))
    return manifest


def _manifest(fields: Fields) -> Manifest:
    version = fields.integer("format_version")
    if version > FORMAT_VERSION:
        fields.fault("format_version", f"is {version}; this program reads up to {FORMAT_VERSION}, update it")
    versions = fields.section("versions")
    return Manifest(
        name=fields.text("name"),
        source=Source.read(fields.section("source")),
        files=tuple(BundleFile.read(item) for item in fields.sections("files")),
        versions={name: versions.text(name) for name in versions.values},
        created=fields.text("created"),
        format_version=version,
        recipe=RecipeNote.read(fields.section("recipe")) if fields.has("recipe") else None,
    )
