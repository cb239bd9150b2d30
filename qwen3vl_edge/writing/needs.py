"""What writing a plan takes of the machine, and whether it is there."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.runtime.memory import available_bytes
from qwen3vl_edge.writing.planned import WritePlan
from qwen3vl_edge.writing.write import peak_bytes

__all__ = ["Needs", "find_needs"]

_MARGIN_BYTES = 16 << 20  # the manifest, and what the file system itself needs


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes needed and there; `disk` is the folder whose disk was asked."""

    disk: Path
    disk_bytes: int
    free_disk_bytes: int
    memory_bytes: int
    available_memory_bytes: int | None

    @property
    def problem(self) -> str | None:
        """Say, in one line, what does not fit."""
        if self.disk_bytes > self.free_disk_bytes:
            missing = self.disk_bytes - self.free_disk_bytes
            return (
                f"{self.disk}: the disk is too small: {self.disk_bytes} bytes are needed, {missing} more "
                "than are free; make room, or choose another folder or a smaller type"
            )
        if self.available_memory_bytes is not None and self.memory_bytes > self.available_memory_bytes:
            return (
                f"{self.memory_bytes} bytes of memory are needed, {self.available_memory_bytes} are free; "
                "close other programs or use fewer --threads"
            )
        return None


def find_needs(plan: WritePlan, out_dir: Path, n_threads: int) -> Needs:
    """Ask the machine; `out_dir` need not exist."""
    whole = out_dir.resolve()
    disk = next(folder for folder in (whole, *whole.parents) if folder.is_dir())
    return Needs(
        disk=disk,
        disk_bytes=plan.n_bytes + _MARGIN_BYTES,
        free_disk_bytes=shutil.disk_usage(disk).free,
        memory_bytes=peak_bytes(plan.files, n_threads),
        available_memory_bytes=available_bytes(),
    )
