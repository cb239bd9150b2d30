"""How many threads compute, and what they do while they wait for each other."""

import os

__all__ = ["SLEEPING", "default_threads", "let_threads_sleep"]

SLEEPING = {"OMP_WAIT_POLICY": "passive"}
"""Environment in which OpenMP's threads sleep, not spin, at llama.cpp's barriers (GNU's and LLVM's
OpenMP read it when they load). Spinning threads eat the time slices of the thread that all of them
wait for: with other work on the cores, answers took 10 to 1,000 times as long
(docs/decisions/0005-threads-sleep.md)."""


def default_threads() -> int:
    """Give the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: respects taskset and containers
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def let_threads_sleep() -> None:
    """Apply `SLEEPING` to this process, before llama.cpp is loaded; a setting of the user's stands."""
    for name, value in SLEEPING.items():
        os.environ.setdefault(name, value)
