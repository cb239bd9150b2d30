import io
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools import peers, peers_build

PIN = "llama-cpp-python==0.3.36"
TOP = "llama_cpp_python-0.3.36/vendor/llama.cpp"
STAMP = peers.Stamp(PIN, "c++ 12.2.0", "-mno-amx-tile", {"CFLAGS": "-g"}, "library files", "this CPU")


def archive(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path


def test_llama_cpp_and_nothing_else_is_unpacked(tmp_path: Path) -> None:
    files = {
        f"{TOP}/CMakeLists.txt": b"one",
        f"{TOP}/src/a.cpp": b"two",
        "llama_cpp_python-0.3.36/README": b"three",
    }
    peers_build.unpack(
        archive(tmp_path / "a.tar.gz", files, {f"{TOP}/src/link": "/etc/passwd"}), tmp_path / "out"
    )
    found = {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert found == {"CMakeLists.txt", "src/a.cpp"}
    assert (tmp_path / "out/src/a.cpp").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["../evil", "src/../../evil", "/../evil"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    hostile = archive(tmp_path / "a.tar.gz", {f"{TOP}/CMakeLists.txt": b"", f"{TOP}/{name}": b"evil"})
    with pytest.raises(peers.PeersError, match=r"a\.tar\.gz cannot be unpacked"):
        peers_build.unpack(hostile, tmp_path / "out")
    assert not list(tmp_path.rglob("evil"))


def test_too_much_source_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_build, "_LARGEST_SOURCE_BYTES", 99)
    large = archive(tmp_path / "a.tar.gz", {f"{TOP}/CMakeLists.txt": b"", f"{TOP}/large": bytes(100)})
    with pytest.raises(peers.PeersError, match="larger than any llama.cpp"):
        peers_build.unpack(large, tmp_path / "out")
    assert not (tmp_path / "out/large").exists()


def test_an_archive_without_llama_cpp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(peers.PeersError, match="holds no llama.cpp; check the pin"):
        peers_build.unpack(archive(tmp_path / "a.tar.gz", {"x/README": b""}), tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 9, 0.5, 0.95])
def test_damaged_archives_are_refused(tmp_path: Path, keep: float) -> None:
    noise = bytes(i * i % 251 for i in range(50_000))
    path = archive(tmp_path / "a.tar.gz", {f"{TOP}/a": noise, f"{TOP}/CMakeLists.txt": b""})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(peers.PeersError, match=r"a\.tar\.gz"):
        peers_build.unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "tenths"),
    [
        ("[1/136] Building", 0),
        ("[ 68/136] Building", 5),
        ("[136/136] Linking", 10),
        ("[ 37%] Building", 3),
        ("[100%] Built target", 10),
        ("-- [50%] of", 0),
        ("Building [68/136]", 0),
        ("[1/0]", 10),
    ],
)
def test_progress_is_read_off_ninja_and_make(line: str, tenths: int) -> None:
    assert peers_build._tenths_done(line) == tenths


class World:
    """A user's cache, a library with a stamp, and build steps that only note that they were called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "qwen3vl-edge" / "peers" / "0.3.36" / "bin"
        self.steps: list[str] = []
        self.stamp: peers.Stamp | None = STAMP
        self.failing = ""
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        monkeypatch.setattr(peers, "read_stamp", lambda _: self.stamp)
        monkeypatch.setattr(peers, "LOG", folder / "build" / "peers.log")
        self._patch = monkeypatch
        for name, step in {"fetch_source": self._fetch, "configure": self._configure}.items():
            monkeypatch.setattr(peers, name, step)
        monkeypatch.setattr(peers, "compile_programs", self._compile)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.failing == name:
            raise peers.PeersError(f"{name} failed")

    def _fetch(self, requirement: str, source: Path) -> None:
        assert requirement == PIN
        self._step("fetch")
        source.mkdir(exist_ok=True)

    def _configure(self, source: Path, tree: Path, stamp: peers.Stamp) -> None:
        assert source.is_dir()
        assert stamp == self.stamp
        self._step("configure")
        (tree / "half").write_text("")

    def _compile(self, tree: Path, programs: tuple[str, ...]) -> None:
        self._step("compile")
        (tree / "bin").mkdir()
        for name in programs:
            (tree / "bin" / name).write_text(f"{len(self.steps)}")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_the_second_call_does_nothing(world: World) -> None:
    assert [peers.main(), peers.main()] == [0, 0]
    assert world.steps == ["fetch", "configure", "compile"]
    assert [peers.find(name) for name in peers.PROGRAMS] == [world.bin / name for name in peers.PROGRAMS]
    assert not list(world.bin.parent.parent.glob("*.work"))


CHANGES: list[Callable[[peers.Stamp], peers.Stamp]] = [
    lambda stamp: replace(stamp, cpu="another"),
    lambda stamp: replace(stamp, flags=""),
    lambda stamp: replace(stamp, compiler="clang 16"),
    lambda stamp: replace(stamp, overrides={}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_another_build_of_the_library_means_other_peers(
    world: World, change: Callable[[peers.Stamp], peers.Stamp]
) -> None:
    peers.main()
    before = peers.find("llama-server").read_text()
    world.stamp = change(STAMP)
    with pytest.raises(peers.PeersError, match="not built as the library here is; run `make peers`"):
        peers.find("llama-server")
    assert peers.main() == 0
    assert peers.find("llama-server").read_text() != before


def test_new_files_of_the_same_build_change_nothing(world: World) -> None:
    peers.main()
    world.stamp = replace(STAMP, build="copied elsewhere")
    assert peers.main() == 0
    assert world.steps == ["fetch", "configure", "compile"]


def test_an_interrupted_build_goes_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.failing = "compile"
    assert peers.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "peers: failed: compile failed"
    half = world.bin.parent.with_name("0.3.36.work") / "build" / "half"
    assert half.exists()
    with pytest.raises(peers.PeersError, match="llama-server is not built; run `make peers`"):
        peers.find("llama-server")
    half.write_text("kept")
    world.failing = "configure"
    peers.main()
    assert half.read_text() == "kept"
    world.stamp = replace(STAMP, flags="")
    peers.main()
    assert not half.exists()  # begun with other flags: not to be gone on with


def test_without_a_library_there_is_nothing_to_build_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.stamp = None
    assert peers.main() == 1
    assert "run `make setup`" in capsys.readouterr().out
    assert world.steps == []


def test_the_peers_are_built_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[list[str], dict[str, str]]] = []
    compiler = peers_build.compilers.Compiler("/usr/bin/cc", "/usr/bin/c++", STAMP.compiler)
    monkeypatch.setattr(peers_build.compilers, "default_compiler", lambda _: compiler)
    monkeypatch.setattr(peers_build.compilers, "find_sound_clang", lambda: None)
    monkeypatch.setattr(peers_build.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(peers_build, "_run", lambda command, env: commands.append((command, dict(env))))
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_NATIVE=OFF")
    monkeypatch.delenv("CXXFLAGS", raising=False)
    stamp = replace(STAMP, overrides={"CFLAGS": "-g", "CMAKE_ARGS": "-DGGML_LLAMAFILE=OFF"})
    peers_build.configure(tmp_path / "source", tmp_path / "build", stamp)
    [(command, environment)] = commands
    assert {"-DGGML_NATIVE=ON", "-DGGML_LLAMAFILE=OFF", "-DCMAKE_BUILD_TYPE=Release"} <= set(command)
    assert not any("llama_build.cmake" in word for word in command)
    assert environment["CXX"] == "/usr/bin/c++"
    assert environment["CFLAGS"].split() == ["-mno-amx-tile", "-g"]
    assert environment["CXXFLAGS"] == "-mno-amx-tile"
    peers_build.configure(tmp_path / "source", tmp_path / "build", STAMP)
    assert "-DGGML_NATIVE=OFF" not in commands[1][0]  # of today's environment, not of the library's build
    with pytest.raises(peers.PeersError, match="built with clang 16, which is gone; run `make setup`"):
        peers_build.configure(tmp_path / "source", tmp_path / "build", replace(stamp, compiler="clang 16"))


def test_a_program_that_fails_shows_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers_build, "LOG", tmp_path / "peers.log")
    script = "print('[1/2] first'); print('the reason'); raise SystemExit(3)"
    with pytest.raises(peers.PeersError, match=r"gave 3; the whole log is .*peers\.log"):
        peers_build._run([sys.executable, "-c", script], {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "peers: 50 %"
    assert shown[-1] == "the reason"
