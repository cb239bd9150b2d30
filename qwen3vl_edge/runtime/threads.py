"""How many threads compute, and what they do while they wait for each other."""

import os
import sys
from pathlib import Path

__all__ = ["SLEEPING", "default_threads", "let_threads_sleep"]

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")

SLEEPING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
"""Environment in which OpenMP's threads soon sleep, not spin, at llama.cpp's barriers (OpenMP reads it
when it loads; the second, which GNU's obeys before the first, is some microseconds). Spinning threads
eat the time slices of the thread that all of them wait for: with other work on the cores, answers took
up to 100 times as long (docs/decisions/0005-threads-sleep.md)."""


def default_threads() -> int:
    """Give the number of cores that this process may use: its affinity, and a container's quota."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_cores, _quota()))


def _quota() -> int:
    """Whole cores that the control group allows (Linux, cgroup v2: ``cpu.max`` is "QUOTA PERIOD")."""
    try:
        quota, period = _CPU_MAX.read_text().split()
        return int(quota) // int(period)
    except (OSError, ValueError):  # not Linux, not limited ("max")
        return sys.maxsize


def let_threads_sleep() -> None:
    """Apply `SLEEPING` to this process, before llama.cpp is loaded; a setting of the user's stands."""
    for name, value in SLEEPING.items():
        os.environ.setdefault(name, value)
