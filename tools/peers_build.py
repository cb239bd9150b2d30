"""The steps in which tools/peers.py builds llama.cpp's programs; a log has all that is said in them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import native_backends as backends
import native_compilers as compilers
import native_pip
from native_machine import ThisMachine
from native_stamp import Stamp
from setup_native import OVERRIDES

__all__ = ["LOG", "OPTIONS", "PeersError", "compile_programs", "configure", "fetch_source", "say", "unpack"]

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "build" / "peers.log"
BUILD_CPU_MINUTES = 12  # measured: docs/log.md
LOG_LINES_SHOWN = 25

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",  # what the library's build backend asks for
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",  # the programs find their libraries wherever the folder goes
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",  # it would be downloaded
    "-DLLAMA_OPENSSL=OFF",
)

_LEAVES_OUT = "-DCMAKE_PROJECT_llama.cpp_INCLUDE="  # tools/llama_build.cmake: the library needs less
_VENDORED = "/vendor/llama.cpp/"
_LARGEST_SOURCE_BYTES = 1 << 30  # it is 176 MB
_STEP = re.compile(r"\[\s*(\d+)(?:/(\d+)|%)\]")  # Ninja counts steps, make per cent


class PeersError(Exception):
    """A peer is not there or cannot be built; the message is one line for the user."""


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"peers: {line}", flush=True)


def fetch_source(requirement: str, source: Path) -> None:
    """Put llama.cpp's source into `source`, unless it is there; pip compares the archive with its index.

    Raises:
        PeersError: It cannot be fetched or unpacked.
    """
    if source.is_dir():
        return
    say(f"fetching the source archive of {requirement}")
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        options = ["--no-deps", "--no-binary", native_pip.PACKAGE, "--dest", folder]
        _run([sys.executable, "-m", "pip", "download", *options, requirement], os.environ)
        archives = list(Path(folder).glob("*.tar.gz"))
        if len(archives) != 1:
            raise PeersError(f"pip fetched no source archive of {requirement}; see {LOG}")
        unpacked = Path(folder) / "source"
        unpack(archives[0], unpacked)
        unpacked.rename(source)


def unpack(archive: Path, target: Path) -> None:
    """Unpack llama.cpp out of llama-cpp-python's archive: plain files, inside `target`, of a sane size.

    Raises:
        PeersError: The archive is damaged, too large, holds no llama.cpp, or a name leads out of it.
    """
    left = _LARGEST_SOURCE_BYTES
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _, vendored, name = member.name.partition(_VENDORED)
                if vendored and member.isfile():
                    left -= member.size
                    if left < 0:
                        raise PeersError(
                            f"{archive.name} is larger than any llama.cpp; was it tampered with?"
                        )
                    tar.extract(member.replace(name=name), target, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise PeersError(f"{archive.name} cannot be unpacked: {error}; run `make peers` again") from error
    if not (target / "CMakeLists.txt").is_file():
        raise PeersError(f"{archive.name} holds no llama.cpp; check the pin in pyproject.toml")


def configure(source: Path, tree: Path, stamp: Stamp) -> None:
    """Have CMake prepare `tree` with the compiler, the flags and the backend of the library.

    Raises:
        PeersError: CMake or the compiler is not there, or CMake fails.
    """
    if shutil.which("cmake") is None:
        raise PeersError("cmake is not installed; install it (Debian: apt install cmake ninja-build)")
    today = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
    asked = {**today, **stamp.overrides}
    candidate = _candidate(stamp, asked)
    backend = backends.backend(stamp.backend, ThisMachine(candidate.compiler.cxx), stamp.cuda_arch)
    environment = native_pip.build_environment(candidate=candidate, backend=backend, environment=asked)
    say(
        f"llama.cpp of {stamp.requirement} for {stamp.backend} with {' '.join([stamp.compiler, stamp.flags])}"
    )
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    asked_of_cmake = [
        word for word in shlex.split(environment["CMAKE_ARGS"]) if not word.startswith(_LEAVES_OUT)
    ]
    _run(["cmake", "-S", str(source), "-B", str(tree), *generator, *asked_of_cmake, *OPTIONS], environment)


def _candidate(stamp: Stamp, environment: Mapping[str, str]) -> compilers.Candidate:
    """Find the compiler that built the library."""
    for compiler in (compilers.default_compiler(environment), compilers.find_sound_clang()):
        if compiler is not None and compiler.version == stamp.compiler:
            return compilers.Candidate(compiler, (stamp.flags,), "")
    raise PeersError(f"the library here was built with {stamp.compiler}, which is gone; run `make setup`")


def compile_programs(tree: Path, programs: Sequence[str]) -> None:
    """Compile `programs` in `tree`, of which nothing is made twice.

    Raises:
        PeersError: The compiler fails.
    """
    jobs = str(native_pip.n_jobs(os.environ))
    minutes = max(1, round(BUILD_CPU_MINUTES / int(jobs)))
    say(f"building {len(programs)} programs, {jobs} compilers at once, about {minutes} min; log: {LOG}")
    _run(["cmake", "--build", str(tree), "--parallel", jobs, "--target", *programs], os.environ)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a program and log what it says; printed are the tenths that are done, and the end if it fails."""
    tenths = 0
    pipe = subprocess.PIPE
    with (
        LOG.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            env=environment,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        log.write(f"$ {shlex.join(command)}\n")
        for line in process.stdout or ():
            log.write(line)
            reached = _tenths_done(line)
            if reached > tenths:
                tenths = reached
                say(f"{tenths}0 %")
    if process.returncode:
        end = LOG.read_text(encoding="utf-8").splitlines()[-LOG_LINES_SHOWN:]
        print("\n".join(end), flush=True)
        raise PeersError(f"`{shlex.join(command[:4])} …` gave {process.returncode}; the whole log is {LOG}")


def _tenths_done(line: str) -> int:
    """Read how much is done off a line of Ninja or make; 0 from any other."""
    step = _STEP.match(line)
    return 10 * int(step[1]) // max(1, int(step[2] or 100)) if step else 0
