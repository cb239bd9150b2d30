"""A disk so small that it is full soon."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["small_disk_at"]


@contextmanager
def small_disk_at(place: Path, n_bytes: int) -> Iterator[Path]:
    """Mount a disk of so many bytes at `place`; only root can, others skip the test."""
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("needs root")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(place)], check=False)
    if made.returncode != 0:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
