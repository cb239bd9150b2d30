"""Tries the installed llama.cpp: its self-test on the CPU, and whether it finds devices of its backend."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The package may not be installed yet. What is imported here needs the standard library only.
sys.path.insert(0, str(ROOT))
from qwen3vl_edge.errors import EngineError  # noqa: E402
from qwen3vl_edge.runtime.soundness import check_build  # noqa: E402

LIST_DEVICES = """\
import sys
from qwen3vl_edge.runtime.devices import backends_built, list_devices
if sys.argv[1] not in backends_built():
    sys.exit(f"the library holds no {sys.argv[1]} backend; does CMAKE_ARGS switch it off?")
print(*(f"{d.name} ({d.description})" for d in list_devices() if d.backend == sys.argv[1]), sep=", ")
"""


def test() -> str | None:
    """Try the installed build in child processes; None if it is sound with all its kernels, else why not."""
    with tempfile.TemporaryDirectory(prefix="setup-native-") as no_cache:
        try:
            os.environ["PYTHONPATH"] = _python_path()
            verdict = check_build(Path(no_cache))
        except EngineError as error:
            return str(error)
    if not verdict.extra_buffers:
        return f"self-test: {verdict.reason}"
    said = _run("import llama_cpp.mtmd_cpp")
    return None if said.returncode == 0 else f"libmtmd does not load: {_last_line(said.stderr)}"


def devices_of(backend: str) -> tuple[str, str | None]:
    """Look for devices of `backend`: their names and descriptions in one line, and why the build is wrong."""
    said = _run(LIST_DEVICES, backend)
    if said.returncode == 0:
        return _last_line(said.stdout), None
    return "", _last_line(said.stderr) or f"listing its devices ends with status {said.returncode}"


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", program, *arguments]
    environment = {**os.environ, "PYTHONPATH": _python_path()}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def _python_path() -> str:
    known = os.environ.get("PYTHONPATH", "")
    return (
        known if str(ROOT) in known.split(os.pathsep) else os.pathsep.join(filter(None, (str(ROOT), known)))
    )


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
