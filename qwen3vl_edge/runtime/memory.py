"""How much memory a model may take on this machine."""

import os
from pathlib import Path

__all__ = ["available_bytes"]

_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_OWN_PAGES = Path("/proc/self/statm")

_THREADS_BYTES = 192 << 20
"""Address space that is mapped and hardly used: glibc maps twice its HEAP_MAX_SIZE (64 MiB, malloc/arena.c)
for the first allocation of a thread, and llama.cpp's loader starts one; stacks take 8 MiB each."""


def available_bytes() -> int | None:
    """Give the bytes that this process can take without swapping; None where that is not known.

    Linux: ``MemAvailable`` (caches count as free), at most what the control group (cgroup v2) and
    ``ulimit -v`` allow. Elsewhere all of the machine's memory, which is more than is free but tells what
    can never fit.
    """
    sizes = (_mem_available() or _physical(), _group_limit(), _address_space())
    return min((size for size in sizes if size is not None), default=None)


def _mem_available() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].removesuffix("kB")) << 10
    except (OSError, ValueError, KeyError):  # not Linux
        return None


def _group_limit() -> int | None:
    try:
        return int(_GROUP_LIMIT.read_text())
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None


def _address_space() -> int | None:
    """What ``ulimit -v`` leaves: the limit less what is mapped (proc(5), statm: pages, the first field)."""
    try:
        import resource  # noqa: PLC0415 -- Windows has none

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        n_pages = int(_OWN_PAGES.read_text().split()[0])
    except (ImportError, OSError, ValueError, IndexError):  # not Linux
        return None
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - n_pages * resource.getpagesize() - _THREADS_BYTES)


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
