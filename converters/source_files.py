"""What a checkpoint is told by in a manifest."""

import hashlib
from pathlib import Path

from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.hub.contents import is_small
from qwen3vl_edge.manifest import SourceFile

__all__ = ["source_files"]


def source_files(checkpoint: Checkpoint) -> tuple[SourceFile, ...]:
    """Identify the checkpoint cheaply: small files whole, shards by their headers."""
    small = [file for file in sorted(checkpoint.folder.iterdir()) if is_small(file.name)]
    return tuple(
        SourceFile(file.name, file.stat().st_size, _sha256(file, _identifying_bytes(file)))
        for file in [*checkpoint.shards, *(file for file in small if file.is_file())]
    )


def _identifying_bytes(file: Path) -> int | None:
    """Return how many bytes identify the file: a shard's header, None for all of any other."""
    if file.suffix != ".safetensors":
        return None
    with file.open("rb") as shard:
        return 8 + int.from_bytes(shard.read(8), "little")


def _sha256(file: Path, nbytes: int | None) -> str:
    with file.open("rb") as opened:
        return hashlib.sha256(opened.read(nbytes)).hexdigest()
