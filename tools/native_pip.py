"""Builds llama-cpp-python with pip, from source, and writes down all that pip and the compiler say."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from native_backends import CPU, Backend
from native_compilers import Candidate

BUILD_SCRIPT = Path(__file__).resolve().parent / "llama_build.cmake"
CMAKE_ARGS = ("-DGGML_NATIVE=ON", f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={BUILD_SCRIPT}")
PACKAGE = "llama-cpp-python"
# A wheel from pip's cache was built with whatever flags were in force then: never take one.
BUILD_OPTIONS = ("--no-cache-dir", "--force-reinstall", "--no-deps", "--no-binary", PACKAGE, "--verbose")


def n_jobs(environment: Mapping[str, str]) -> int:
    """Compilers to run at once: as told, else one for each CPU that this process may use."""
    told = environment.get("CMAKE_BUILD_PARALLEL_LEVEL", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_environment(
    candidate: Candidate, environment: Mapping[str, str], backend: Backend = CPU
) -> dict[str, str]:
    """Make the environment in which pip builds `candidate`; what the caller's says comes last and wins."""
    flags = " ".join(candidate.flags)
    arguments = shlex.join([*CMAKE_ARGS, *backend.cmake_args])
    return {
        **backend.environment,
        **environment,
        "CC": candidate.compiler.c,
        "CXX": candidate.compiler.cxx,
        "CFLAGS": f"{flags} {environment.get('CFLAGS', '')}".strip(),
        "CXXFLAGS": f"{flags} {environment.get('CXXFLAGS', '')}".strip(),
        "CMAKE_ARGS": f"{arguments} {environment.get('CMAKE_ARGS', '')}".strip(),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(n_jobs(environment)),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def build(requirement: str, candidate: Candidate, backend: Backend, log: Path) -> bool:
    """Build and install `requirement`, replacing what is installed; False if pip fails."""
    return _pip([*BUILD_OPTIONS, requirement], build_environment(candidate, os.environ, backend), log)


def install(requirements: Sequence[str], log: Path) -> bool:
    """Install `requirements` and what they depend on, as far as they are missing; False if pip fails."""
    return _pip(requirements, os.environ, log)


def _pip(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> bool:
    command = [sys.executable, "-m", "pip", "install", *arguments]
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {shlex.join(command)}\n")
        file.flush()
        result = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    return result.returncode == 0
