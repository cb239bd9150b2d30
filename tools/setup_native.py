"""Install the pinned llama-cpp-python, built from source so that it survives on this machine.

``python tools/setup_native.py`` (``make setup`` runs it with the venv's Python) picks a compiler and flags,
builds into the running Python's environment, and has a child process decode with the result; the first build
that passes stays. A second call only looks at a stamp. Why all this: docs/decisions/0002-native-build.md. The
project's other dependencies are installed on the way, for the self-test needs them.

Obeyed from the environment: CC, CXX, CFLAGS, CXXFLAGS and CMAKE_ARGS (any of them: that build, no other), and
CMAKE_BUILD_PARALLEL_LEVEL. Exit status 0: a sound build is there; 1: none is, and the last line says why.
``--verify`` only tries what is installed, whoever built it.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import native_compilers as compilers
import native_pip
from native_stamp import Stamp, read_stamp, write_stamp

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "build" / "setup-native.log"
CPUINFO = Path("/proc/cpuinfo")
OVERRIDES = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CMAKE_ARGS")
BUILD_CPU_MINUTES = 5.5  # measured: docs/decisions/0002-native-build.md
LOG_LINES_SHOWN = 25

# The package may not be installed yet. What is imported here needs the standard library only.
sys.path.insert(0, str(ROOT))
from qwen3vl_edge.errors import EngineError  # noqa: E402
from qwen3vl_edge.runtime.build_identity import build_id, cpu_id, installed_version  # noqa: E402
from qwen3vl_edge.runtime.soundness import check_build  # noqa: E402


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for the user."""


def main(arguments: Sequence[str] = ()) -> int:
    """Set up, unless that is done already; or only verify."""
    parser = argparse.ArgumentParser(
        prog="setup_native.py", description="Install a llama.cpp that survives here."
    )
    parser.add_argument("--verify", action="store_true", help="only try what is installed")
    if parser.parse_args(arguments).verify:
        return verify()
    environment = Path(sys.prefix)
    try:
        requirements = read_requirements(ROOT / "pyproject.toml")
        overrides = {name: os.environ[name] for name in OVERRIDES if os.environ.get(name)}
        stamp = read_stamp(environment)
        if stamp is None or not still_good(stamp, environment, requirements, overrides):
            write_stamp(environment, set_up(requirements, overrides))
    except SetupError as error:
        say(f"failed: {error}")
        return 1
    return 0


def verify() -> int:
    """Try the installed build, without a look at the stamp."""
    reason = test()
    say("self-test passed" if reason is None else f"failed: {reason}")
    return 0 if reason is None else 1


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"setup-native: {line}", flush=True)


def read_requirements(pyproject: Path) -> dict[str, str]:
    """Map the project's dependencies to their pins, e.g. ``numpy`` to ``numpy==2.4.6``."""
    with pyproject.open("rb") as file:
        pinned: list[str] = tomllib.load(file)["project"]["dependencies"]
    return {requirement.partition("==")[0]: requirement for requirement in pinned}


def still_good(
    stamp: Stamp, environment: Path, requirements: Mapping[str, str], overrides: Mapping[str, str]
) -> bool:
    """Whether the installed build may stay; on another CPU, or with other files, it has to pass again."""
    native = requirements[native_pip.PACKAGE]
    if not stamp.fits(native, overrides) or native != f"{native_pip.PACKAGE}=={installed_version()}":
        return False
    if (stamp.build, stamp.cpu) == (build_id(), cpu_id()):
        return True
    say("the CPU or the library files changed since the build: trying it again")
    reason = test()
    if reason is not None:
        say(f"it is not sound: {reason}")
        return False
    write_stamp(environment, stamp.moved_to(build_id(), cpu_id()))
    return True


def set_up(requirements: Mapping[str, str], overrides: Mapping[str, str]) -> Stamp:
    """Build, candidate by candidate, until one passes its self-test.

    Raises:
        SetupError: There is no compiler, or no candidate can be built and is sound.
    """
    native = requirements[native_pip.PACKAGE]
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    failures: list[str] = []
    for candidate in choose(overrides):
        reason = try_candidate(candidate, native, requirements)
        if reason is None:
            flags = " ".join(candidate.flags)
            return Stamp(native, candidate.compiler.version, flags, overrides, build_id(), cpu_id())
        say(f"this build does not do: {reason}")
        failures.append(reason)
    raise SetupError(f"no sound build of {native} ({'; '.join(failures)}); the whole log is {LOG}")


def try_candidate(candidate: compilers.Candidate, native: str, requirements: Mapping[str, str]) -> str | None:
    """Build one candidate and put it to the test; None if it is sound, else why not."""
    jobs = native_pip.n_jobs(os.environ)
    minutes = max(1, round(BUILD_CPU_MINUTES / jobs))
    say(f"{native} with {candidate.compiler.version}: {candidate.why}")
    say(f"building, {jobs} compilers at once, about {minutes} min; log: {os.path.relpath(LOG)}")
    start = time.monotonic()
    if not native_pip.build(native, candidate, LOG):
        show_log()
        return "the build failed"
    if not native_pip.install(list(requirements.values()), LOG):
        show_log()
        return "the dependencies cannot be installed"
    importlib.invalidate_caches()
    say(f"built in {time.monotonic() - start:.0f} s")
    reason = test()
    if reason is None:
        say("self-test passed: it decodes quantized models rightly here, with its fastest kernels")
    return reason


def show_log() -> None:
    """Print the end of the log: what went wrong must never be hidden in a file."""
    lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(lines[-LOG_LINES_SHOWN:]), flush=True)


def test() -> str | None:
    """Try the installed build in child processes; None if it is sound with all its kernels, else why not."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="setup-native-") as no_cache:
        try:
            verdict = check_build(Path(no_cache))
        except EngineError as error:
            return str(error)
    if not verdict.extra_buffers:
        return f"self-test: {verdict.reason}"
    loads = [sys.executable, "-P", "-c", "import llama_cpp.mtmd_cpp"]
    result = subprocess.run(loads, capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else f"libmtmd does not load: {result.stderr.splitlines()[-1:]}"


def choose(overrides: Mapping[str, str]) -> list[compilers.Candidate]:
    """List the builds to try: the user's wish, or what the probe recommends.

    Raises:
        SetupError: There is no C and C++ compiler.
    """
    default = compilers.default_compiler(os.environ)
    if default is None:
        raise SetupError(
            "no C and C++ compiler runs here; install both (Debian: apt install build-essential)"
        )
    if overrides:
        return [compilers.Candidate(default, (), f"as {', '.join(overrides)} in the environment ask")]
    has_amx = CPUINFO.is_file() and compilers.cpu_has_amx(CPUINFO.read_text("utf-8", "replace"))
    return compilers.rank(compilers.survey(default)) if has_amx else [compilers.without_amx(default)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
