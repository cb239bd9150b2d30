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
    "is_small",
    "is_wanted",
    "shard_names",
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

    @property
    def in_lfs(self) -> bool:
        """Whether Git LFS stores it, as every large file."""
        return len(self.blob) == 64

    def hasher(self) -> "hashlib._Hash":
        """Return a fresh hash object that gives `blob` once it has seen the whole content."""
        if self.in_lfs:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)


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


def is_small(name: str) -> bool:
    """Whether `name` is a file beside the weights that a conversion reads."""
    return name in _SMALL


def is_wanted(name: str) -> bool:
    """Whether a conversion may read the file `name`; none in a folder is."""
    return name in _SMALL or _SHARD.fullmatch(name) is not None


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
