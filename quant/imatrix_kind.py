"""What stands where an importance matrix is read from or written to, and which half an entry is of."""

from pathlib import Path

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.gguf_format import MAGIC
from qwen3vl_edge.gguf_info import GGUFInfo

__all__ = ["is_gguf", "is_imatrix", "is_of_projector"]

_PROJECTOR = ("v.", "mm.")


def is_of_projector(tensor: str) -> bool:
    """Tell whether a tensor, by its name, is the projector's and not the language model's."""
    return tensor.startswith(_PROJECTOR)


def is_gguf(path: Path) -> bool:
    """Tell whether the file at `path` begins as GGUF.

    Raises:
        GGUFError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as failure:
        raise GGUFError(f"{path}: cannot be read ({failure.strerror})") from failure


def is_imatrix(path: Path) -> bool:
    """Tell whether `path` is an importance matrix: a GGUF file that says so, or a ``.dat``.

    Raises:
        GGUFError: It begins as GGUF and is damaged, or it cannot be read.
    """
    if not path.is_file():
        return False
    if not is_gguf(path):
        return path.suffix.lower() == ".dat"
    return GGUFInfo.read(path).metadata.get("general.type") == "imatrix"
