"""Which weights a file holds, as a short text that is the same wherever the file lies."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.gguf_info import GGUFInfo, GGUFTensor

__all__ = ["model_identity", "projector_identity"]

_SAMPLE_BYTES = 4096


def projector_identity(path: Path) -> str:
    """Identify a projector by all its bytes (SHA-256).

    Its outputs are kept for weeks, so an edit of one tensor must be noticed, and no sample shows that.
    The manifest's hash will not do: it speaks of what was written, and another projector of the same
    size may lie there now.

    Raises:
        GGUFError: the file cannot be read.
    """
    try:
        return content_sha256(path)
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure


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
