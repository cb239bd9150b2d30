"""Files that appear with all that is in them, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from qwen3vl_edge.writing.publish import temporary_path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[BinaryIO]:
    """Open what will be `path`, under another name, until all of it is written and on the disk.

    Args:
        path: Stays as it was if anything fails, and at any moment of a kill.
        shared: Other processes may write it, too, at this moment.

    Raises:
        OSError: It cannot be written; with the name, which a full disk does not say by itself.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp") if shared else temporary_path(path)
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
