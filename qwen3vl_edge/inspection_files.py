"""How much of each file of a model is stored in which type."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileSummary", "TypeUse", "file_summary", "merged"]


@dataclass(frozen=True, slots=True)
class TypeUse:
    """How much of a file is stored in one type."""

    name: str
    n_tensors: int
    n_parameters: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileSummary:
    """One file, or a split model by its first; `type` is what it mostly is, None for a checkpoint's shard."""

    name: str
    n_parts: int
    architecture: str
    type: str | None
    size_bytes: int
    n_parameters: int
    types: tuple[TypeUse, ...]


def file_summary(
    paths: Sequence[Path], architecture: str, file_type: str | None, tensors: Iterable[tuple[str, int, int]]
) -> FileSummary:
    """Sum up (type, parameters, bytes) of tensors."""
    types = _sum([TypeUse(name, 1, n_parameters, nbytes) for name, n_parameters, nbytes in tensors])
    return FileSummary(
        name=paths[0].name,
        n_parts=len(paths),
        architecture=architecture,
        type=file_type,
        size_bytes=sum(path.stat().st_size for path in paths),
        n_parameters=sum(use.n_parameters for use in types),
        types=types,
    )


def merged(files: Iterable[FileSummary]) -> tuple[TypeUse, ...]:
    """Add up the types of all files, the largest first."""
    return _sum([use for file in files for use in file.types])


def _sum(uses: list[TypeUse]) -> tuple[TypeUse, ...]:
    """Add up by type, the largest first."""
    totals = [
        TypeUse(
            name,
            sum(use.n_tensors for use in uses if use.name == name),
            sum(use.n_parameters for use in uses if use.name == name),
            sum(use.size_bytes for use in uses if use.name == name),
        )
        for name in {use.name for use in uses}
    ]
    return tuple(sorted(totals, key=lambda use: (-use.size_bytes, use.name)))
