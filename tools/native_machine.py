"""What this machine offers for a build: programs, headers, libraries and GPUs, found by trying."""

import ctypes
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


class ThisMachine:
    """`Machine`, as it is."""

    def __init__(self, cxx: str, os_release: Path = Path("/etc/os-release")) -> None:
        self._cxx = cxx
        self.system = platform.system()
        self.installer = "brew" if self.system == "Darwin" else _installer(os_release)

    def find(self, program: str, folders: Sequence[str] = ()) -> str | None:
        """Look on PATH, then in `folders`."""
        places = (shutil.which(program), *(shutil.which(program, path=folder) for folder in folders))
        return next(filter(None, places), None)

    def compiles(self, source: str, include_folders: Sequence[str]) -> bool:
        """Whether the C++ compiler takes `source`; nothing is written."""
        flags = [f"-I{include}" for include in include_folders]
        return self._takes([*self._cxx.split(), *flags, "-fsyntax-only"], source)

    def preprocesses(self, compiler: str, source: str) -> bool:
        """Whether `compiler`, which may be nvcc, finds what `source` includes."""
        return self._takes([compiler, "-E"], source)

    def loads(self, library: str) -> bool:
        """Whether the system finds a shared library."""
        try:
            ctypes.CDLL(library)
        except OSError:
            return False
        return True

    def has_nvidia_gpu(self) -> bool:
        """Whether the NVIDIA driver shows a GPU."""
        return any(Path("/dev").glob("nvidia[0-9]*")) or self.succeeds("nvidia-smi", "-L")

    def succeeds(self, *command: str) -> bool:
        """Whether a command runs and ends well."""
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def _takes(self, command: Sequence[str], source: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="header-probe-") as folder:
            file = Path(folder, "probe.cpp")
            file.write_text(source, encoding="utf-8")
            return self.succeeds(*command, str(file))


def _installer(os_release: Path) -> str:
    try:
        told = os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "apt"
    is_fedora = re.search(r"^ID(_LIKE)?=.*\b(fedora|rhel|centos)\b", told, re.MULTILINE)
    return "dnf" if is_fedora else "apt"
