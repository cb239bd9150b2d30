"""What a repository holds at a commit, and which of it a conversion reads."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, join_problems
from qwen3vl_edge.json_fields import Fields, parse_object, read_object

__all__ = [
    "COMMIT",
    "CONFIG",
    "INDEX",
    "SINGLE",
    "HubFile",
    "Listing",
    "content_hasher",
    "is_small",
    "is_wanted",
    "shard_names",
    "unusual_absences",
]

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

COMMIT = re.compile(r"[0-9a-f]{40}")
"""What a full commit hash looks like."""

_SMALL = frozenset((
    CONFIG,
    INDEX,
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
))  # fmt: skip
# What published checkpoints have beside config.json and weights, each by one name or another.
_USUAL = (
    ("generation_config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
    ("tokenizer_config.json",),
    ("chat_template.json", "chat_template.jinja"),
)
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_INDEX_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository at one commit.

    `blob` is the hash by which the hub knows the content and names it in the cache: the sha256 (64 hex
    digits) of a file in Git LFS, else git's own sha1 (40).
    """

    name: str
    size_bytes: int
    blob: str

    def to_sibling(self) -> dict[str, object]:
        """Return it as the hub's listing has it, for `Listing.parse` to read again."""
        sibling: dict[str, object] = {"rfilename": self.name, "size": self.size_bytes}
        if _is_sha256(self.blob):
            return sibling | {"lfs": {"sha256": self.blob, "size": self.size_bytes}}
        return sibling | {"blobId": self.blob}


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit, by name."""

    commit: str
    files: Mapping[str, HubFile]

    @classmethod
    def parse(cls, raw: bytes, where: str, wanted: Callable[[str], bool]) -> "Listing":
        """Read the hub's answer to ``/api/models/ID/revision/REV?blobs=true``, as far as names are `wanted`.

        Raises:
            CheckpointError: it is something else; `where` names it.
        """
        fields = Fields(parse_object(raw, where, CheckpointError), where)
        commit = _digest(fields, "sha", 40)
        siblings = fields.sections("siblings")
        files = [_file(item) for item in siblings if wanted(item.text("rfilename"))]
        if fields.problems:
            raise CheckpointError(join_problems(fields.problems))
        return cls(commit, {file.name: file for file in files})

    def to_dict(self) -> dict[str, object]:
        """Return what `parse` reads."""
        return {"sha": self.commit, "siblings": [file.to_sibling() for file in self.files.values()]}

    def needed(self, folder: Path, *, weights: bool) -> list[HubFile]:
        """Return the files that a conversion reads, with `weights` those that the index in `folder` names.

        Where the index is still to come, nobody knows those yet.

        Raises:
            CheckpointError: the index is none, or names files that are not listed.
        """
        small = [file for name, file in self.files.items() if is_small(name)]
        if INDEX in self.files and not (folder / INDEX).exists():
            return small
        shards = shard_names(folder)
        if missing := [name for name in shards if name not in self.files]:
            raise CheckpointError(
                f"{folder / INDEX}: names files that the repository has not: {join_problems(missing)}; is it "
                "a Qwen3-VL checkpoint?"
            )
        return small + [self.files[name] for name in shards] if weights else small


def content_hasher(blob: str, size_bytes: int) -> "hashlib._Hash":
    """Return a fresh hash object that gives `blob` once it has seen the whole content of `size_bytes`."""
    if _is_sha256(blob):
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)


def is_small(name: str) -> bool:
    """Whether `name` is a file beside the weights that a conversion reads."""
    return name in _SMALL


def is_wanted(name: str) -> bool:
    """Whether a conversion may read the file `name`; none in a folder is."""
    return name in _SMALL or _SHARD.fullmatch(name) is not None


def unusual_absences(folder: Path) -> list[str]:
    """Name what `folder` lacks of the files that published checkpoints have beside their weights."""
    return [names[0] for names in _USUAL if not any((folder / name).exists() for name in names)]


def shard_names(folder: Path) -> list[str]:
    """Return the names of the weights: the files that the index in `folder` names, or the single one.

    Raises:
        CheckpointError: the index is not one, or names something else than plain ``.safetensors`` files.
    """
    index = folder / INDEX
    if not index.exists():
        return [SINGLE]
    value = read_object(index, _INDEX_LIMIT_BYTES, CheckpointError).get("weight_map")
    if not isinstance(value, dict) or not value:
        raise CheckpointError(f"{index}: weight_map is missing or empty")
    names = sorted({str(name) for name in value.values()})
    faults = [f"{name!r:.80}" for name in names if not _SHARD.fullmatch(name)]
    if faults:
        raise CheckpointError(
            f"{index}: weight_map names {join_problems(faults)}; plain names ending in .safetensors are "
            "expected"
        )
    return names


def _is_sha256(blob: str) -> bool:
    """Whether the content is in Git LFS, as that of every large file."""
    return len(blob) == 64


def _file(item: Fields) -> HubFile:
    if item.has("lfs"):
        lfs = item.section("lfs")
        return HubFile(item.text("rfilename"), lfs.integer("size", least=0), _digest(lfs, "sha256", 64))
    return HubFile(item.text("rfilename"), item.integer("size", least=0), _digest(item, "blobId", 40))


def _digest(fields: Fields, key: str, digits: int) -> str:
    value = fields.text(key)
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        fields.fault(key, f"is {value!r:.80}, {digits} hex digits are expected")
    return value
