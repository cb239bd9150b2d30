"""Files from outside: only regular ones that lie in their folder, read no further than a limit.

A folder from a hub or a disk can hold pipes (opening one waits forever), devices (reading one never
ends) and links to files that are none of its business. Nothing of it is opened before this is known.
"""

import os
import stat
from pathlib import Path

from qwen3vl_edge.errors import CheckpointError, EdgeError, UsageError, join_problems

__all__ = ["check_folder", "file_size", "is_hub_snapshot", "read_bytes"]

# Whatever the converter opens or names in a manifest ends in one of these.
_SUFFIXES = frozenset((".json", ".txt", ".jinja", ".md", ".safetensors"))
_GGUF = ".gguf"


def file_size(path: Path, error: type[EdgeError]) -> int:
    """Return the size of `path` in bytes.

    Raises:
        error: there is no such file, or it is a folder, a pipe, a device or a socket.
    """
    try:
        found = path.stat()
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})") from failure
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: not a regular file")
    return found.st_size


def read_bytes(path: Path, limit_bytes: int, error: type[EdgeError]) -> bytes:
    """Read all of `path`.

    Raises:
        error: it is no regular file, cannot be read, or has more than `limit_bytes`.
    """
    size = file_size(path, error)
    try:
        with path.open("rb") as file:
            raw = file.read(limit_bytes + 1)  # not `size`: files of /proc have none and never end
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})") from failure
    if len(raw) > limit_bytes:
        size = max(size, len(raw))
        raise error(f"{path}: {size} bytes are more than the {limit_bytes} allowed for this file")
    return raw


def check_folder(folder: Path) -> frozenset[str]:
    """Check every file of a checkpoint folder that may be opened; return the names of all that is there.

    Links may lead to files of the same folder and, in a Hugging Face cache, to its blobs.

    Raises:
        UsageError: `folder` is no folder, cannot be listed, or holds GGUF files in place of a checkpoint.
        CheckpointError: links out of the folder, folders, pipes and devices with the names of files,
            and files without permission, all in one line.
    """
    try:
        names = frozenset(entry.name for entry in os.scandir(folder))
        homes = _homes(folder.resolve(strict=True))
    except (OSError, ValueError) as failure:  # ValueError: a NUL in the path
        raise UsageError(f"{folder}: {_not_a_folder(folder, failure)}") from failure
    if "config.json" not in names and any(name.endswith(_GGUF) for name in names):
        raise UsageError(
            f"{folder}: a bundle, which is converted already; `quantize` makes other types of it, or give a "
            "checkpoint folder"
        )
    faults = []
    for name in sorted(names):
        fault = _fault(folder / name, homes) if Path(name).suffix in _SUFFIXES else None
        if fault is not None:
            faults.append(f"{name!r} {fault}")
    if faults:
        raise CheckpointError(f"{folder}: {join_problems(faults)}")
    return names


def is_hub_snapshot(folder: Path) -> bool:
    """Whether `folder` is one of a Hugging Face cache, ``CACHE/models--ORG--NAME/snapshots/COMMIT``."""
    snapshots = folder.resolve().parent
    return snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--")


def _not_a_folder(folder: Path, failure: OSError | ValueError) -> str:
    """Say what `folder` is instead of one, and what to give."""
    if isinstance(failure, FileNotFoundError):
        return "no such file or folder; give a checkpoint folder, or ORG/NAME as on the hub"
    if isinstance(failure, NotADirectoryError) and folder.name.endswith(_GGUF):
        return "a GGUF file, which is converted already; `quantize` makes other types of it"
    return f"not a checkpoint folder ({failure.strerror if isinstance(failure, OSError) else failure})"


def _homes(folder: Path) -> tuple[Path, ...]:
    """Return the folders whose files belong to the checkpoint.

    In a Hugging Face cache they are links to ``../../blobs``, which may be links in turn to
    ``CACHE/blobs`` (huggingface_hub 2.4.0, ``file_download.py`` and ``utils/_shared_blobs.py``).
    """
    if not is_hub_snapshot(folder):
        return (folder,)
    repo = folder.parent.parent
    return folder, repo / "blobs", repo.parent / "blobs"


def _fault(path: Path, homes: tuple[Path, ...]) -> str | None:
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return "is a link that leads nowhere; fetch the file again"
    if not any(target.is_relative_to(home) for home in homes):
        return f"is a link out of the folder, to {str(target)!r:.200}; put the file itself there"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    return None if os.access(path, os.R_OK) else "cannot be read (Permission denied)"
