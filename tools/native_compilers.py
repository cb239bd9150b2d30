"""Which compiler and flags build llama.cpp soundly here: compilers are found, probed and ranked."""

import enum
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPAIR_HEADER = Path(__file__).resolve().parent / "amx_repair.h"
NO_AMX_FLAGS = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")  # gcc lets these win over -march=native
NEWEST_CLANG, OLDEST_CLANG = 30, 13  # versions looked for by name; 13 is the first in a living distribution

PROBE = """\
#include <immintrin.h>
void load_config(unsigned char rows)
{
    unsigned char config[64] __attribute__((aligned(64))) = {1};
    config[48] = rows;
    _tile_loadconfig(config);
}
"""
ARGUMENT_REGISTER = re.compile(r"%(dil|edi|rdi)\b")  # where x86-64 System V passes `rows`


class Amx(enum.Enum):
    """What a compiler makes of AMX tile configurations."""

    SOUND = "sound"
    DEFECTIVE = "defective"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Compiler:
    """A C and C++ compiler pair; `version` is the first line that the C++ compiler says about itself."""

    c: str
    cxx: str
    version: str


@dataclass(frozen=True)
class Candidate:
    """One way to build: `flags` go to both languages; `why` is said to the user."""

    compiler: Compiler
    flags: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Survey:
    """The probe's verdicts: on the default compiler, bare and repaired, and a clang that passes."""

    default: Compiler
    amx: Amx
    sound_clang: Compiler | None = None
    repaired: Amx = Amx.UNSUPPORTED


def read_assembly(assembly: str) -> Amx:
    """Judge the probe's assembly: sound if the run-time value is read before the configuration is loaded.

    A compiler with GCC PR target/114098 takes the instruction to read 8 of the 64 bytes, and drops the store
    of byte 48 as dead: then nobody reads the register that carried the value.
    """
    before, instruction, _ = assembly.partition("ldtilecfg")
    if not instruction:
        return Amx.UNSUPPORTED
    return Amx.SOUND if ARGUMENT_REGISTER.search(before) else Amx.DEFECTIVE


def probe(cxx: str, flags: Sequence[str] = ()) -> Amx:
    """Compile the probe, without running it, and judge the result; needs no AMX on this machine."""
    with tempfile.TemporaryDirectory(prefix="amx-probe-") as folder:
        source, assembly = Path(folder, "probe.cpp"), Path(folder, "probe.s")
        source.write_text(PROBE, encoding="utf-8")
        command = [cxx, "-O2", "-mamx-tile", *flags, "-S", "-o", str(assembly), str(source)]
        result = subprocess.run(command, capture_output=True, check=False)
        return read_assembly(assembly.read_text("utf-8")) if result.returncode == 0 else Amx.UNSUPPORTED


def without_amx(default: Compiler) -> Candidate:
    """Give the one build for a CPU that has no AMX: nothing to avoid."""
    return Candidate(default, (), "this CPU has no AMX")


def survey(default: Compiler) -> Survey:
    """Put the compilers of this machine to the probe."""
    amx = probe(default.cxx)
    if amx is not Amx.DEFECTIVE:
        return Survey(default, amx)
    repaired = probe(default.cxx, ("-include", str(REPAIR_HEADER)))
    return Survey(default, amx, find_sound_clang(), repaired)


def rank(found: Survey) -> list[Candidate]:
    """List the builds worth trying on a CPU with AMX, the fastest first; the next is tried if one fails."""
    avoided = Candidate(found.default, NO_AMX_FLAGS, "AMX left out")
    if found.amx is not Amx.DEFECTIVE:
        return [Candidate(found.default, (), "it gets this CPU's AMX right"), avoided]
    builds: list[Candidate] = []
    if found.sound_clang is not None:
        builds.append(Candidate(found.sound_clang, (), "it gets AMX right, the default compiler does not"))
    if found.repaired is Amx.SOUND:
        flags = ("-include", f'"{REPAIR_HEADER}"')
        builds.append(Candidate(found.default, flags, "its AMX intrinsics repaired (GCC PR 114098)"))
    return [*builds, avoided]


def default_compiler(environment: Mapping[str, str]) -> Compiler | None:
    """Find the compiler that CMake would take: CC and CXX, else the system's usual names."""
    c = environment.get("CC") or _first_on_path("cc", "gcc", "clang")
    cxx = environment.get("CXX") or _first_on_path("c++", "g++", "clang++")
    return _compiler(c, cxx) if c and cxx else None


def find_sound_clang() -> Compiler | None:
    """Find a clang on PATH that passes the probe, the newest first."""
    suffixes = ["", *(f"-{n}" for n in range(NEWEST_CLANG, OLDEST_CLANG - 1, -1))]
    for suffix in suffixes:
        c, cxx = shutil.which(f"clang{suffix}"), shutil.which(f"clang++{suffix}")
        compiler = _compiler(c, cxx) if c and cxx else None
        if compiler is not None and probe(compiler.cxx) is Amx.SOUND:
            return compiler
    return None


def cpu_has_amx(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo names AMX tiles."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return flags is not None and "amx_tile" in flags[1].split()


def _first_on_path(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _compiler(c: str, cxx: str) -> Compiler | None:
    """None if the compiler does not even tell its version."""
    try:
        said = subprocess.run([*cxx.split(), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Compiler(c, cxx, said.stdout.partition(os.linesep)[0].strip())
