"""How much memory a model may take on this machine."""

import os
from pathlib import Path

__all__ = ["available_bytes"]

_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_bytes() -> int | None:
    """Give the bytes that a new process can take without swapping; None where that is not known.

    Linux: ``MemAvailable`` (caches count as free), at most what the control group allows (cgroup v2).
    Elsewhere all of the machine's memory, which is more than is free but tells what can never fit.
    """
    known = [size for size in (_mem_available() or _physical(), _group_limit()) if size is not None]
    return min(known, default=None)


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


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
