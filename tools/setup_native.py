"""Install the pinned llama-cpp-python, built from source so that it survives on this machine.

``python tools/setup_native.py`` (``make setup`` runs it with the venv's Python) picks a backend, a compiler
and flags, builds into the running Python's environment, and has a child process decode with the result; the
first build that passes stays. A second call only looks at a stamp. Why all this:
docs/decisions/0002-native-build.md. The project's other dependencies are installed on the way, for the
self-test needs them.

Obeyed from the environment: CC, CXX, CFLAGS, CXXFLAGS and CMAKE_ARGS (any of them: that build, no other),
and CMAKE_BUILD_PARALLEL_LEVEL. Exit status 0: a sound build is there; 1: none is, and the last line says why.
``--backend`` and ``--cuda-arch`` ask for another build than the one that is there; ``--verify`` only tries
what is installed, whoever built it.
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import native_backends as backends
import native_compilers as compilers
import native_pip
from native_build import SetupError, build_first_sound, say
from native_machine import ThisMachine
from native_stamp import Stamp, read_stamp, write_stamp
from native_trial import ROOT, test  # and it puts the package, which may not be installed yet, on the path

from qwen3vl_edge.runtime.build_identity import build_id, cpu_id, installed_version

CPUINFO = Path("/proc/cpuinfo")
OVERRIDES = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "CMAKE_ARGS")


@dataclass(frozen=True)
class Wish:
    """What is asked for: `backend` and `cuda_arch` are empty if nothing is; `overrides` are variables."""

    backend: str
    cuda_arch: str
    overrides: Mapping[str, str]


def main(arguments: Sequence[str] = ()) -> int:
    """Set up, unless that is done already; or only verify."""
    asked = parse(arguments)
    if asked.verify:
        return verify()
    environment = Path(sys.prefix)
    try:
        wish = read_wish(asked.backend, asked.cuda_arch)
        requirements = read_requirements(ROOT / "pyproject.toml")
        stamp = read_stamp(environment)
        if stamp is None or not still_good(stamp, environment, requirements, wish):
            write_stamp(environment, set_up(requirements, wish, stamp))
    except SetupError as error:
        say(f"failed: {error}")
        return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="setup_native.py", description="Install a llama.cpp that survives here."
    )
    parser.add_argument("--backend", default="", help=f"{', '.join(backends.NAMES)}; default: what is built")
    parser.add_argument("--cuda-arch", default="", help="86, 86;89, all-major, …; default: the GPU here")
    parser.add_argument("--verify", action="store_true", help="only try what is installed")
    return parser.parse_args(arguments)


def read_wish(backend: str, cuda_arch: str) -> Wish:
    """Check what is asked for, and add what the environment says.

    Raises:
        SetupError: There is no such backend or architecture.
    """
    if backend and backend not in backends.NAMES:
        raise SetupError(f"BACKEND={backend} is unknown; there are: {', '.join(backends.NAMES)}")
    cuda_arch = cuda_arch.replace(",", ";")
    if cuda_arch and not backends.CUDA_ARCH.fullmatch(cuda_arch):
        raise SetupError(f"CUDA_ARCH={cuda_arch} is unknown; give 86, 86;89, native, all or all-major")
    overrides = {name: os.environ[name] for name in OVERRIDES if os.environ.get(name)}
    return Wish(backend, cuda_arch, overrides)


def verify() -> int:
    """Try the installed build, without a look at the stamp."""
    reason = test()
    say("self-test passed" if reason is None else f"failed: {reason}")
    return 0 if reason is None else 1


def read_requirements(pyproject: Path) -> dict[str, str]:
    """Map the project's dependencies to their pins, e.g. ``numpy`` to ``numpy==2.4.6``."""
    with pyproject.open("rb") as file:
        pinned: list[str] = tomllib.load(file)["project"]["dependencies"]
    return {requirement.partition("==")[0]: requirement for requirement in pinned}


def still_good(stamp: Stamp, environment: Path, requirements: Mapping[str, str], wish: Wish) -> bool:
    """Whether the installed build may stay; on another CPU, or with other files, it has to pass again."""
    native = requirements[native_pip.PACKAGE]
    if native != f"{native_pip.PACKAGE}=={installed_version()}":
        return False
    if not stamp.fits(native, wish.overrides, wish.backend, wish.cuda_arch):
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


def set_up(requirements: Mapping[str, str], wish: Wish, before: Stamp | None) -> Stamp:
    """Build for the backend that is asked for, else that of `before`, else the one that fits this machine.

    Raises:
        SetupError: There is no compiler, or no build for that backend; one that was merely detected gives
            way to the CPU.
    """
    default = compilers.default_compiler(os.environ)
    if default is None:
        raise SetupError(
            "no C and C++ compiler runs here; install both (Debian: apt install build-essential)"
        )
    known = wish.backend or (before.backend if before else "")
    name = known or backends.detect(ThisMachine(default.cxx))
    arch = wish.cuda_arch or (before.cuda_arch if before and before.backend == name else "")
    try:
        return build_for(name, arch, default, requirements, wish.overrides)
    except SetupError as error:
        if known or name != "cuda":
            raise
        say(f"{error}; going on for the CPU alone")
        return build_for("cpu", "", default, requirements, wish.overrides)


def build_for(
    name: str,
    cuda_arch: str,
    default: compilers.Compiler,
    requirements: Mapping[str, str],
    overrides: Mapping[str, str],
) -> Stamp:
    """Build for the backend `name`, once it is clear that nothing is missing.

    Raises:
        SetupError: Something is missing, or no candidate can be built and is sound.
    """
    machine = ThisMachine(default.cxx)
    lacks = backends.missing(name, machine, cuda_arch, overrides.get("CMAKE_ARGS", ""))
    if lacks:
        raise SetupError(f"BACKEND={name} needs {'; '.join(lacks)}")
    native = requirements[native_pip.PACKAGE]
    backend = backends.backend(name, machine, cuda_arch)
    built = build_first_sound(choose(default, overrides), backend, native, requirements)
    flags = " ".join(built.flags)
    return Stamp(native, built.compiler.version, flags, overrides, build_id(), cpu_id(), name, cuda_arch)


def choose(default: compilers.Compiler, overrides: Mapping[str, str]) -> list[compilers.Candidate]:
    """List the builds to try: the user's wish, or what the probe recommends."""
    if overrides:
        return [compilers.Candidate(default, (), f"as {', '.join(overrides)} in the environment ask")]
    has_amx = CPUINFO.is_file() and compilers.cpu_has_amx(CPUINFO.read_text("utf-8", "replace"))
    return compilers.rank(compilers.survey(default)) if has_amx else [compilers.without_amx(default)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
