"""What a checkpoint is told by in a manifest."""

from pathlib import Path

from qwen3vl_edge.checkpoint import Checkpoint
from qwen3vl_edge.hub.contents import is_small
from qwen3vl_edge.manifest import SourceFile

__all__ = ["source_files"]


def source_files(checkpoint: Checkpoint) -> tuple[SourceFile, ...]:
    """Identify the checkpoint cheaply: small files whole, shards by their headers."""
    small = [file for file in sorted(checkpoint.folder.iterdir()) if is_small(file.name)]
    shards = [SourceFile.of_header(shard, _header_bytes(shard)) for shard in checkpoint.shards]
    return (*shards, *(SourceFile.of(file) for file in small if file.is_file()))


def _header_bytes(shard: Path) -> int:
    with shard.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")
