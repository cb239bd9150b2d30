"""Which weights a file holds, as a short text that is the same wherever the file lies."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.gguf_info import GGUFInfo, GGUFTensor
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.paths import user_cache_dir

__all__ = ["model_identity", "projector_identity"]

_RECORD_BYTES = 16 << 10  # a path can be long
_SETTLED_NS = 2_000_000_000  # what has changed since then may change again within one tick of its clock
_SAMPLE_BYTES = 4096


def projector_identity(path: Path) -> str:
    """Identify a projector by all its bytes (SHA-256).

    Its outputs are kept for weeks, so an edit of one tensor must be noticed, and no sample shows that.
    Hashing 0.8 GB takes half a second; it is done once, then the cache folder remembers it for this file
    as it was: place, inode, size, times of change. The manifest's hash will not do: it speaks of what
    was written, and another projector of the same size may lie there now.

    Raises:
        GGUFError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            before = _state(path, os.fstat(file.fileno()))
            known = _remembered(before)
            if known is not None:
                return known
            found = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure
    last_change_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    if _state(path, status) == before and last_change_ns + _SETTLED_NS < time.time_ns():
        with suppress(OSError):  # without a record the file is hashed again, no more
            _remember(before, found)
    return found


def model_identity(path: Path) -> str:
    """Identify a language model by its header and samples of each tensor: milliseconds for any size.

    Another model, a fine-tuned one, another type or another importance matrix are noticed; an edit of some
    bytes amid one tensor is not.

    Args:
        path: The file, of a split model the first part.

    Raises:
        GGUFError: the file cannot be read or is damaged.
    """
    info = GGUFInfo.read(path)
    digest = hashlib.sha256()
    try:
        for part in info.paths:
            with part.open("rb") as file:
                tensors = [tensor for tensor in info.tensors if tensor.path == part]
                digest.update(file.read(min(tensor.offset for tensor in tensors)))  # the whole header
                for start in _samples(tensors):
                    file.seek(start)
                    digest.update(file.read(_SAMPLE_BYTES))
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure
    return digest.hexdigest()


def _samples(tensors: Iterable[GGUFTensor]) -> Iterator[int]:
    """Give where to read: the beginning, the middle and the end of each tensor."""
    for tensor in tensors:
        room = max(tensor.nbytes - _SAMPLE_BYTES, 0)
        yield from (tensor.offset, tensor.offset + room // 2, tensor.offset + room)


def _state(path: Path, status: os.stat_result) -> list[str | int]:
    """Tell this file, unchanged, from any other; the time of its status cannot be set back."""
    place = str(path.resolve())
    return [place, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _record(state: list[str | int]) -> Path:
    """Name where the hash of a place is remembered: one record for each, however often it changes."""
    name = hashlib.sha256(os.fsencode(str(state[0]))).hexdigest()
    return user_cache_dir() / "identities" / f"{name}.json"


def _remembered(state: list[str | int]) -> str | None:
    try:
        match json.loads(read_bytes(_record(state), _RECORD_BYTES, GGUFError)):
            case {"state": list(known), "sha256": str(found)} if known == state:
                return found
    except (GGUFError, ValueError):  # no record, or a damaged one
        pass
    return None


def _remember(state: list[str | int], found: str) -> None:
    """Write so that no reader ever sees a part of it."""
    path = _record(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps({"state": state, "sha256": found}), "utf-8")
    draft.replace(path)
