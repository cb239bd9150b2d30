import importlib
import shutil
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
backends = importlib.import_module("native_backends")
compilers = importlib.import_module("native_compilers")
native_pip = importlib.import_module("native_pip")
setup_native = importlib.import_module("setup_native")

SOUND, DEFECTIVE, UNSUPPORTED = compilers.Amx.SOUND, compilers.Amx.DEFECTIVE, compilers.Amx.UNSUPPORTED

GCC_12_2 = """\
_Z11load_configh:
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-64, %rsp
	movq	$1, -64(%rsp)
	movq	$0, -56(%rsp)
#APP
	ldtilecfg	-64(%rsp)
#NO_APP
	leave
	ret
"""
GCC_12_2_REPAIRED = """\
_Z11load_configh:
	pushq	%rbp
	pxor	%xmm0, %xmm0
	movq	%rsp, %rbp
	andq	$-64, %rsp
	movaps	%xmm0, -16(%rsp)
	movq	$1, -64(%rsp)
	movq	$0, -56(%rsp)
	movb	%dil, -16(%rsp)
	movaps	%xmm0, -48(%rsp)
	movaps	%xmm0, -32(%rsp)
#APP
	ldtilecfg	-64(%rsp)
#NO_APP
	leave
	ret
"""
CLANG_16 = """\
_Z11load_configh:
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-64, %rsp
	subq	$128, %rsp
	xorps	%xmm0, %xmm0
	movaps	%xmm0, (%rsp)
	movaps	%xmm0, 48(%rsp)
	movb	$1, (%rsp)
	movb	%dil, 48(%rsp)
	ldtilecfg	(%rsp)
	movq	%rbp, %rsp
	popq	%rbp
	retq
"""
STORED_TOO_LATE = "load_config:\n\tldtilecfg\t(%rsp)\n\tmovb\t%dil, 48(%rsp)\n\tretq\n"
NOT_X86 = "load_config:\n\tret\n"

GCC = compilers.Compiler("/usr/bin/cc", "/usr/bin/c++", "c++ 12.2.0")
CLANG = compilers.Compiler("/usr/bin/clang-16", "/usr/bin/clang++-16", "clang 16")
REPAIR = ("-include", f'"{TOOLS / "amx_repair.h"}"')
NO_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")


@pytest.mark.parametrize(
    ("assembly", "verdict"),
    [
        (GCC_12_2, DEFECTIVE),
        (GCC_12_2_REPAIRED, SOUND),
        (CLANG_16, SOUND),
        (STORED_TOO_LATE, DEFECTIVE),
        (NOT_X86, UNSUPPORTED),
    ],
    ids=["gcc 12.2", "gcc 12.2 repaired", "clang 16", "stored too late", "not x86"],
)
def test_the_assembly_tells_a_sound_compiler_from_a_defective_one(assembly: str, verdict: object) -> None:
    assert compilers.read_assembly(assembly) is verdict


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_the_compiler_here_gets_a_verdict_and_the_repair_header_mends_it() -> None:
    bare = compilers.probe("c++")
    repaired = compilers.probe("c++", ("-include", str(compilers.REPAIR_HEADER)))
    assert bare in {SOUND, DEFECTIVE, UNSUPPORTED}
    assert repaired is (UNSUPPORTED if bare is UNSUPPORTED else SOUND)


def test_a_compiler_that_fails_is_unsupported() -> None:
    assert compilers.probe("false") is UNSUPPORTED


@pytest.mark.parametrize(
    ("amx", "clang", "repaired", "builds"),
    [
        (SOUND, None, UNSUPPORTED, [(GCC, ()), (GCC, NO_AMX)]),
        (UNSUPPORTED, None, UNSUPPORTED, [(GCC, ()), (GCC, NO_AMX)]),
        (DEFECTIVE, CLANG, SOUND, [(CLANG, ()), (GCC, REPAIR), (GCC, NO_AMX)]),
        (DEFECTIVE, CLANG, DEFECTIVE, [(CLANG, ()), (GCC, NO_AMX)]),
        (DEFECTIVE, None, SOUND, [(GCC, REPAIR), (GCC, NO_AMX)]),
        (DEFECTIVE, None, DEFECTIVE, [(GCC, NO_AMX)]),
    ],
)
def test_candidates_on_a_cpu_with_amx(amx: object, clang: object, repaired: object, builds: object) -> None:
    ranked = compilers.rank(compilers.Survey(GCC, amx, clang, repaired))
    assert [(candidate.compiler, candidate.flags) for candidate in ranked] == builds


@pytest.mark.parametrize(
    ("cpu_flags", "overrides", "builds"),
    [
        ("fpu avx512f", {}, [()]),
        ("fpu avx512f amx_tile amx_int8", {}, [NO_AMX]),
        ("fpu avx512f amx_tile amx_int8", {"CMAKE_ARGS": "-DGGML_CUDA=on"}, [()]),
    ],
)
def test_the_cpu_and_the_user_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu_flags: str, overrides: dict[str, str], builds: object
) -> None:
    monkeypatch.setattr(compilers, "survey", lambda default: compilers.Survey(default, DEFECTIVE))
    (tmp_path / "cpuinfo").write_text(f"model name\t: X amx_tile\nflags\t\t: {cpu_flags}\n")
    monkeypatch.setattr(setup_native, "CPUINFO", tmp_path / "cpuinfo")
    assert [candidate.flags for candidate in setup_native.choose(GCC, overrides)] == builds


def test_no_compiler_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "default_compiler", lambda _: None)
    with pytest.raises(setup_native.SetupError, match="build-essential"):
        setup_native.set_up({}, setup_native.Wish("", "", {}), None)


def test_the_users_flags_and_arguments_come_last_and_win() -> None:
    candidate = compilers.Candidate(GCC, NO_AMX, "")
    user = {
        "CFLAGS": "-O1",
        "CMAKE_ARGS": "-DGGML_NATIVE=OFF",
        "CMAKE_BUILD_PARALLEL_LEVEL": "3",
        "HOME": "/h",
    }
    built = native_pip.build_environment(candidate, user)
    assert built["CFLAGS"] == f"{' '.join(NO_AMX)} -O1"
    assert built["CXXFLAGS"] == " ".join(NO_AMX)
    assert built["CMAKE_ARGS"].endswith(" -DGGML_NATIVE=OFF")
    assert (built["CC"], built["CXX"], built["HOME"]) == (GCC.c, GCC.cxx, "/h")
    assert built["CMAKE_BUILD_PARALLEL_LEVEL"] == "3"


def test_the_backends_switches_come_between() -> None:
    vulkan = backends.Backend("vulkan", ("-DGGML_VULKAN=ON",), {"CUDACXX": "nvcc", "HOME": "/x"})
    user = {"CMAKE_ARGS": "-DGGML_VULKAN=OFF", "HOME": "/h"}
    built = native_pip.build_environment(compilers.Candidate(GCC, (), ""), user, vulkan)
    assert built["CMAKE_ARGS"].startswith("-DGGML_NATIVE=ON ")
    assert built["CMAKE_ARGS"].endswith(" -DGGML_VULKAN=ON -DGGML_VULKAN=OFF")
    assert (built["CUDACXX"], built["HOME"]) == ("nvcc", "/h")


@pytest.mark.parametrize("told", ["", "0", "-1", "many"])
def test_the_number_of_jobs_is_positive(told: str) -> None:
    assert native_pip.n_jobs({"CMAKE_BUILD_PARALLEL_LEVEL": told}) >= 1
