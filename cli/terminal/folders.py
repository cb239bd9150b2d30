"""Where the chat keeps what only its user may read: history, conversations, fetched pictures."""

import os
from pathlib import Path

__all__ = ["private_file", "private_folder"]


def private_folder(path: Path) -> Path:
    """Make `path` if it is not there, for its owner alone, and give it.

    Raises:
        OSError: It cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def private_file(path: Path) -> Path:
    """Make the file `path` if it is not there, see to it that only its owner can read it, and give it.

    Raises:
        OSError: It cannot be made.
    """
    private_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    path.chmod(0o600)
    return path
