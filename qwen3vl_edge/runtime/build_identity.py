"""Names for "this build of llama.cpp" and "this CPU": milliseconds, so they are made before every model."""

import hashlib
import importlib.util
import platform
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from qwen3vl_edge.paths import native_library_dir

__all__ = ["build_id", "cpu_id", "installed_version"]

CPUINFO = Path("/proc/cpuinfo")
CPU_KEYS = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")  # x86 and Arm


def build_id() -> str:
    """Identify the installed native libraries by version, file names, sizes and times of change.

    Hashing 8 MB of libraries at each start would cost more than it finds: a rebuild changes the times.

    Raises:
        EngineError: llama-cpp-python is not installed.
    """
    folder = native_library_dir()
    libraries = sorted(p for p in folder.glob("*") if "ggml" in p.name or "llama" in p.name)
    facts = [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in libraries]
    return _digest([installed_version() or "", *facts])


def cpu_id() -> str:
    """Identify the processor by model and instruction sets; off Linux by what `platform` knows."""
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            first_core = list(
                takewhile(str.strip, lines)
            )  # the kernel makes the rest, core by core, on demand
    except OSError:
        first_core = []
    facts = [line.strip() for line in first_core if line.startswith(CPU_KEYS)]
    return _digest([platform.system(), platform.machine(), *(facts or [platform.processor()])])


def installed_version() -> str | None:
    """Read llama-cpp-python's version off the name of its metadata folder, or None.

    `importlib.metadata` would read it too, but takes longer to import than all the rest of a start.
    """
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return None
    folders = Path(spec.origin).parent.parent.glob("llama_cpp_python-*.dist-info")
    return next((folder.name.removesuffix(".dist-info").partition("-")[2] for folder in folders), None)


def _digest(facts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
