"""What a checkpoint is told by in a manifest."""

from pathlib import Path

from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.hub.contents import is_small
from qwen3vl_edge.manifest import SourceFile

__all__ = ["source_files"]


def source_files(checkpoint: Checkpoint) -> tuple[SourceFile, ...]:
    """Identify the checkpoint cheaply: small files whole, shards by their headers."""
    small = [file for file in sorted(checkpoint.folder.iterdir()) if is_small(file.name)]
    return tuple(
        SourceFile.of(file, _identifying_bytes(file))
        for file in [*checkpoint.shards, *(file for file in small if file.is_file())]
    )


def _identifying_bytes(file: Path) -> int | None:
    """Return how many bytes identify the file: a shard's header, None for all of any other."""
    if file.suffix != ".safetensors":
        return None
    with file.open("rb") as shard:
        return 8 + int.from_bytes(shard.read(8), "little")
