"""What a manifest is made of: the source, what was asked for, each file and each tensor.

`read` of each takes an object of manifest.json apart; faults are noted in its fields.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.json_fields import Fields

__all__ = [
    "MAX_PARTS",
    "BundleFile",
    "ImatrixNote",
    "OrderNote",
    "OverrideNote",
    "RecipeNote",
    "Role",
    "Source",
    "SourceFile",
    "TensorNote",
]

MAX_PARTS = 99_999  # five digits in llama.cpp's names of split files
_WITH_HEADERS = (".safetensors", ".gguf")

Role = Literal["model", "projector"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read: a small one with the hash of all of it, one of weights with that of its header.

    The header fixes names, shapes and offsets; hashing gigabytes of values would take as long as the rest.
    """

    name: str
    size_bytes: int
    sha256: str | None = None
    header_sha256: str | None = None

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Identify `path` by all of it."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, path.stat().st_size, sha256=digest)

    @classmethod
    def of_header(cls, path: Path, n_bytes: int) -> "SourceFile":
        """Identify `path` by its first `n_bytes`."""
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(n_bytes)).hexdigest()
        return cls(path.name, path.stat().st_size, header_sha256=digest)

    @classmethod
    def read(cls, fields: Fields) -> "SourceFile":
        """Read one; older manifests call the hash of a header `sha256` too."""
        name, size_bytes = _plain_name(fields), fields.integer("size_bytes", least=0)
        if fields.has("header_sha256"):
            return cls(name, size_bytes, header_sha256=fields.text("header_sha256"))
        found = fields.text("sha256")
        is_header = name.endswith(_WITH_HEADERS)
        return cls(name, size_bytes, None if is_header else found, found if is_header else None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bundle comes from: the folder as the user gave it, or ORG/NAME and the commit on the hub."""

    location: str
    files: tuple[SourceFile, ...]
    revision: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> "Source":
        """Read it."""
        return cls(
            location=fields.text("location"),
            files=tuple(SourceFile.read(item) for item in fields.sections("files")),
            revision=fields.text("revision") if fields.has("revision") else None,
        )


@dataclass(frozen=True, slots=True)
class OverrideNote:
    """Tensors whose names hold the expression `pattern` were to get the type `type`."""

    pattern: str
    type: str


@dataclass(frozen=True, slots=True)
class ImatrixNote:
    """The importance matrix: the name of its file, and the hash of all of it."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OrderNote:
    """A size that was ordered: the bits a weight, or the bytes of all files, and the types to choose of.

    `recipe` is the name of the file whose choices were taken instead. `damage` is what the choices are
    expected to cost, `gap` the share of it that other choices might have saved; see docs/quantization.md.
    """

    bits_per_weight: float | None = None
    size_bytes: int | None = None
    types: tuple[str, ...] = ()
    recipe: str | None = None
    damage: float | None = None
    gap: float | None = None

    @classmethod
    def read(cls, fields: Fields) -> "OrderNote":
        """Read it."""
        return cls(
            bits_per_weight=fields.number("bits_per_weight") if fields.has("bits_per_weight") else None,
            size_bytes=fields.integer("size_bytes") if fields.has("size_bytes") else None,
            types=_texts(fields, "types"),
            recipe=_optional(fields, "recipe"),
            damage=fields.number("damage") if fields.has("damage") else None,
            gap=fields.number("gap") if fields.has("gap") else None,
        )


@dataclass(frozen=True, slots=True)
class RecipeNote:
    """What was asked for.

    `types` are of the language model; without one, of the projector. `projector_type` is None where that was
    copied, was not there, is alone, or was ordered together with the language model.
    """

    types: tuple[str, ...]
    projector_type: str | None = None
    pure: bool = False
    overrides: tuple[OverrideNote, ...] = ()
    output_type: str | None = None
    embedding_type: str | None = None
    imatrix: ImatrixNote | None = None
    allow_requantize: bool = False
    order: OrderNote | None = None

    @classmethod
    def read(cls, fields: Fields) -> "RecipeNote":
        """Read it."""
        overrides = fields.sections("overrides")
        return cls(
            types=_texts(fields, "types"),
            projector_type=_optional(fields, "projector_type"),
            pure=fields.flag("pure"),
            overrides=tuple(OverrideNote(item.text("pattern"), item.text("type")) for item in overrides),
            output_type=_optional(fields, "output_type"),
            embedding_type=_optional(fields, "embedding_type"),
            imatrix=_imatrix(fields.section("imatrix")) if fields.has("imatrix") else None,
            allow_requantize=fields.flag("allow_requantize"),
            order=OrderNote.read(fields.section("order")) if fields.has("order") else None,
        )


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

    @classmethod
    def read(cls, fields: Fields) -> "TensorNote":
        """Read one."""
        return cls(fields.text("name"), fields.text("type"), fields.text("why"), fields.number("error"))


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

    @classmethod
    def read(cls, fields: Fields) -> "BundleFile":
        """Read one."""
        counts = fields.section("tensor_types")
        notes = fields.sections("tensors") if fields.has("tensors") else []
        return cls(
            role="projector" if fields.text("role") == "projector" else "model",
            name=_plain_name(fields),
            size_bytes=fields.integer("size_bytes"),
            sha256=fields.text("sha256"),
            type=fields.text("type"),
            tensor_types={name: counts.integer(name) for name in counts.values},
            part=fields.integer("part", 1, most=MAX_PARTS),
            n_parts=fields.integer("n_parts", 1, most=MAX_PARTS),
            tensors=tuple(TensorNote.read(item) for item in notes),
        )


def _imatrix(fields: Fields) -> ImatrixNote:
    return ImatrixNote(_plain_name(fields), fields.text("sha256"))


def _plain_name(fields: Fields) -> str:
    name = fields.text("name")
    if Path(name).name != name:
        fields.fault("name", f"is {name!r:.80}, a file name without folders is expected")
    return name


def _optional(fields: Fields, key: str) -> str | None:
    return fields.text(key) if fields.has(key) else None


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    found = fields.values.get(key)
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return tuple(found)
    fields.fault(key, "is no list of names")
    return ()
