"""What was measured, one file a prompt, so that a comparison goes on where it was and is never made twice."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

__all__ = ["Store", "record_key", "write_whole"]

Arrays = Mapping[str, NDArray[np.generic]]

FORMAT = 1


def record_key(*facts: object) -> str:
    """Give the name of what depends on `facts` (texts and numbers), and on the form of this store."""
    return hashlib.sha256(json.dumps([FORMAT, *facts]).encode()).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, or leave what is there: no reader ever sees a part of it.

    Raises:
        OSError: The folder cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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

    def has(self, key: str) -> bool:
        """Tell whether there is a file for a record."""
        return self._path(key).is_file()

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
