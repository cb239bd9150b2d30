"""What was measured, one file a prompt, so that a comparison goes on where it was and is never made twice."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError, UsageError
from qwen3vl_edge.quant.whole_file import whole_file

__all__ = ["Store", "check_target", "record_key", "write_whole"]

Arrays = Mapping[str, NDArray[np.generic]]

FORMAT = 1


def record_key(*facts: object) -> str:
    """Give the name of what depends on `facts` (texts and numbers), and on the form of this store."""
    return hashlib.sha256(json.dumps([FORMAT, *facts]).encode()).hexdigest()


def check_target(path: Path) -> None:
    """Check, before the work, that a file can stand at `path`.

    Raises:
        UsageError: There is no folder for it, or it is a folder.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file in it")


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, or leave what is there: no reader ever sees a part of it.

    Raises:
        OSError: The folder cannot be written.
    """
    with whole_file(path, shared=True) as file:
        file.write(data)


class Store:
    """Records, arrays by name, in files of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> dict[str, NDArray[np.generic]] | None:
        """Give a record; None if there is none, or a damaged one, which is then made anew."""
        try:
            with np.load(io.BytesIO(self._path(key).read_bytes()), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, RuntimeError, BadZipFile):
            return None

    def lost(self) -> EngineError:
        """Give the error for a record that was there a moment ago."""
        return EngineError(f"{self.folder}: measurements have vanished meanwhile; start again")

    def put(self, key: str, record: Arrays) -> None:
        """Keep a record; no reader ever sees a part of it.

        Raises:
            OSError: The folder cannot be written.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **record)
        write_whole(path, data.getvalue())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"
