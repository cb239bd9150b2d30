"""manifest.json of a bundle: what was made, from what, by which versions."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from qwen3vl_edge.errors import GGUFError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object

__all__ = [
    "MANIFEST_NAME",
    "MAX_PARTS",
    "BundleFile",
    "Manifest",
    "Role",
    "Source",
    "SourceFile",
    "TensorNote",
    "current_versions",
]

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
MAX_PARTS = 99_999  # five digits in llama.cpp's names of split files
_LIMIT_BYTES = 16 << 20
_DISTRIBUTIONS = ("qwen3vl-edge", "gguf", "llama-cpp-python")

Role = Literal["model", "projector"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the checkpoint.

    `sha256` covers the whole file where it is small (JSON, text); of a safetensors shard it covers
    the header only, which fixes names, shapes and offsets without reading gigabytes again.
    """

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, n_bytes: int | None = None) -> "SourceFile":
        """Identify `path` by its first `n_bytes`, by all of it if None."""
        with path.open("rb") as file:
            return cls(path.name, path.stat().st_size, hashlib.sha256(file.read(n_bytes)).hexdigest())


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bundle comes from: the folder as the user gave it, or ORG/NAME and the commit on the hub."""

    location: str
    files: tuple[SourceFile, ...]
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class TensorNote:
    """One tensor of a file: its type, how that was chosen, and what it costs.

    `error` is the root mean square of the errors relative to that of the values, from samples where
    the tensor is large; 0 where it is exact.
    """

    name: str
    type: str
    why: str
    error: float


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One GGUF file of the bundle; `type` as on the command line, `tensor_types` counts tensors by type.

    A split language model has several, `part` counts from 1.
    """

    role: Role
    name: str
    size_bytes: int
    sha256: str
    type: str
    tensor_types: Mapping[str, int]
    part: int = 1
    n_parts: int = 1
    tensors: tuple[TensorNote, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of manifest.json: one projector, and the language model in one or more types."""

    name: str
    source: Source
    files: tuple[BundleFile, ...]
    versions: Mapping[str, str]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION

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
        path = folder / MANIFEST_NAME
        fields = Fields(read_object(path, _LIMIT_BYTES, GGUFError), str(path))
        manifest = _manifest(fields)
        if fields.problems:
            raise GGUFError(join_problems(fields.problems))
        return manifest

    def write(self, path: Path) -> None:
        """Write to `path` and make sure that it has reached the disk."""
        with path.open("w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


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


def _manifest(fields: Fields) -> Manifest:
    version = fields.integer("format_version")
    if version > FORMAT_VERSION:
        fields.fault("format_version", f"is {version}; this program reads up to {FORMAT_VERSION}, update it")
    source = fields.section("source")
    files = tuple(_bundle_file(item) for item in fields.sections("files"))
    versions = fields.section("versions")
    manifest = Manifest(
        name=fields.text("name"),
        source=Source(
            location=source.text("location"),
            files=tuple(_source_file(item) for item in source.sections("files")),
            revision=source.text("revision") if source.has("revision") else None,
        ),
        files=files,
        versions={name: versions.text(name) for name in versions.values},
        created=fields.text("created"),
        format_version=version,
    )
    if [file.role for file in files].count("projector") != 1 or not manifest.models:
        fields.fault("files", "must hold one projector and at least one model")
    for parts in manifest.models:
        if [(file.part, file.n_parts) for file in parts] != [(i + 1, len(parts)) for i in range(len(parts))]:
            fields.fault("files", f"does not hold each part of {parts[0].name!r:.80} once")
    return manifest


def _bundle_file(fields: Fields) -> BundleFile:
    role: Role = "projector" if fields.text("role") == "projector" else "model"
    counts = fields.section("tensor_types")
    return BundleFile(
        role=role,
        name=_plain_name(fields),
        size_bytes=fields.integer("size_bytes"),
        sha256=fields.text("sha256"),
        type=fields.text("type"),
        tensor_types={name: counts.integer(name) for name in counts.values},
        part=fields.integer("part", 1, most=MAX_PARTS),
        n_parts=fields.integer("n_parts", 1, most=MAX_PARTS),
        tensors=tuple(_note(item) for item in fields.sections("tensors")) if fields.has("tensors") else (),
    )


def _note(fields: Fields) -> TensorNote:
    return TensorNote(fields.text("name"), fields.text("type"), fields.text("why"), fields.number("error"))


def _source_file(fields: Fields) -> SourceFile:
    return SourceFile(_plain_name(fields), fields.integer("size_bytes", least=0), fields.text("sha256"))


def _plain_name(fields: Fields) -> str:
    name = fields.text("name")
    if Path(name).name != name:
        fields.fault("name", f"is {name!r:.80}, a file name without folders is expected")
    return name
