"""A calibration that was interrupted, kept beside the file that it makes until that is there."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from qwen3vl_edge.errors import EdgeError, GGUFError, UsageError
from qwen3vl_edge.input_files import file_size
from qwen3vl_edge.quant.imatrix_sums import ImatrixSums
from qwen3vl_edge.quant.whole_file import whole_file
from qwen3vl_edge.runtime.activations import ActivationSums

__all__ = ["Progressed", "StateFile", "alone"]

_SUMS, _COUNTS = "sums ", "counts "  # before the name of a tensor
_FAULTS = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What numpy raises at a damaged archive."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far it came: pieces done, what they gave, and what is to be said of those that gave nothing."""

    n_done: int
    sums: ImatrixSums
    notes: tuple[str, ...]


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Keep other runs from making `target` meanwhile; the lock of a run that was killed is free.

    Raises:
        EdgeError: Another run is making it.
        OSError: Nothing can be written there.
    """
    place = target.with_name(f"{target.name}.unfinished.lock")
    lock = FileLock(place, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise EdgeError(f"{target}: another run is making this file; wait for it, or name another") from None
    try:
        yield
    finally:
        with suppress(OSError):  # before it is free: whoever comes next makes another
            place.unlink()
        lock.release()


class StateFile:
    """The state beside `target`; `settings` is a digest of everything that the sums depend on."""

    def __init__(self, target: Path, settings: str) -> None:
        self.path = self.beside(target)
        self._settings = settings

    @staticmethod
    def beside(target: Path) -> Path:
        """Name the file."""
        return target.with_name(f"{target.name}.unfinished")

    def read(self) -> Progressed | None:
        """Give what is there, exactly as it was saved; None if there is nothing.

        Raises:
            UsageError: It was begun with other settings.
            GGUFError: It is damaged.
        """
        if not os.path.lexists(self.path):
            return None
        file_size(self.path, GGUFError)
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                if str(saved["settings"]) != self._settings:
                    raise UsageError(
                        f"{self.path}: was begun with another model, other data or other options; repeat "
                        "those, or begin anew with --restart"
                    )
                return _progressed({name: saved[name] for name in saved.files})
        except _FAULTS as error:
            raise GGUFError(f"{self.path}: damaged ({error}); begin anew with --restart") from error

    def save(self, progressed: Progressed) -> None:
        """Replace what is there.

        Raises:
            OSError: The disk is full; what is there stays.
        """
        arrays: dict[str, NDArray[np.generic]] = {
            "settings": np.array(self._settings),
            "n_done": np.array(progressed.n_done),
            "notes": np.array(progressed.notes, dtype=np.str_),
        }
        for name, entry in progressed.sums.entries.items():
            arrays |= {f"{_SUMS}{name}": entry.sums, f"{_COUNTS}{name}": entry.counts}
        with whole_file(self.path) as file:
            np.savez(file, allow_pickle=False, **arrays)

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def _progressed(arrays: dict[str, NDArray[np.generic]]) -> Progressed:
    entries = {
        name: ActivationSums(
            arrays[f"{_SUMS}{name}"].astype(np.float64), arrays[f"{_COUNTS}{name}"].astype(np.int64)
        )
        for name in (key.removeprefix(_SUMS) for key in arrays if key.startswith(_SUMS))
    }
    return Progressed(int(arrays["n_done"]), ImatrixSums(entries), tuple(map(str, arrays["notes"])))
