"""The command, from its call to its end, however that comes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.quant.imatrix import Imatrix

PROGRAM = (sys.executable, "-c", "from qwen3vl_edge.cli.main import run; run()")
SAVING = (
    sys.executable,
    "-c",
    "from qwen3vl_edge.quant.calibration import collect; collect._SAVE_EVERY_S = 0.0\n"
    "from qwen3vl_edge.cli.main import run; run()",
)
PIECES = ("--chunks", "8", "--answer-tokens", "2", "--threads", "2")
WAIT_S = 120.0


def command(*arguments: str | Path, code: int = 0, program: tuple[str, ...] = PROGRAM) -> tuple[str, str]:
    done = subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def whole(demo_f32: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "m.gguf"
    out, _ = command("imatrix", demo_f32.folder, *PIECES, "-o", path)
    assert out.startswith(f"{path}: 35 matrices of the language model (")
    assert "32 of the projector (" in out
    assert "\nread: 4 × text, 3 × picture, 1 × clip\n" in out
    return path


def start(bundle: Bundle, target: Path) -> subprocess.Popen[str]:
    arguments = [*SAVING, "imatrix", str(bundle.folder), *PIECES, "-o", str(target)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_change(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until `path` is saved, or saved anew, or the process is done."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.stat().st_mtime_ns != before:
            return
        time.sleep(0.002)
    assert process.poll() is not None, "nothing was saved"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_and_gone_on_with_is_the_same(demo_f32: Bundle, tmp_path: Path, whole: Path) -> None:
    target, state = tmp_path / "m.gguf", tmp_path / "m.gguf.unfinished"
    for stop in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        process = start(demo_f32, target)
        wait_for_change(process, state)
        process.send_signal(stop)
        _, said = process.communicate(timeout=WAIT_S)
        assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), said
        assert state.is_file()
        assert not target.exists()
    assert "interrupted" in said
    out, _ = command("imatrix", demo_f32.folder, *PIECES, "-o", target, "--json")
    assert json.loads(out)["resumed"] >= 3
    assert target.read_bytes() == whole.read_bytes()
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == ["m.gguf"]


def test_both_halves_are_quantized_with_it(demo_f32: Bundle, tmp_path: Path, whole: Path) -> None:
    command(
        "quantize", demo_f32.folder, "--type", "IQ2_XS", "--projector-type", "IQ3_S", "--imatrix", whole,
        "-o", tmp_path / "out",
    )  # fmt: skip
    files = sorted((tmp_path / "out").glob("*.gguf"))
    kinds = [{tensor.type_name for tensor in GGUFInfo.read(path).tensors} for path in files]
    assert any("IQ2_XS" in kind for kind in kinds)
    noted = [GGUFInfo.read(path).metadata["quantize.imatrix.entries_count"] for path in files]
    assert sorted(noted) == [32, 35]


def test_matrices_are_merged_without_a_model(tmp_path: Path, whole: Path) -> None:
    target = tmp_path / "both.gguf"
    out, _ = command("imatrix", "--merge", whole, "--merge", whole, "-o", target, "--json")
    assert json.loads(out)["tensors"] == {"language_model": 35, "projector": 32}
    assert Imatrix.read(target).n_chunks - 2 * Imatrix.read(whole).n_chunks in {0, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo",), "-o says which file to write"),
        (("-o", "m.gguf"), "give a MODEL to measure, or matrices to add up with --merge"),
        (("-o", "m.gguf", "--merge", "a.gguf", "--chunks", "3"), "without a MODEL nothing is measured"),
        (("demo", "-o", "m.gguf", "--frames", "3"), "--frames and the like are about --videos"),
        (("-o", "m.gguf", "--merge", "a.gguf", "--threads", "3"), "without a MODEL nothing is measured"),
        (("-o", "m.gguf", "--merge", "a.gguf", "--device", "cpu"), "without a MODEL nothing is measured"),
        (("demo", "-o", "m.gguf", "--image-max-tokens", "9"), "--image-max-tokens is about --images"),
        (
            ("demo", "-o", "m.gguf", "--text", "a", "--answer-tokens", "9"),
            "--answer-tokens is about pictures",
        ),
        (("demo", "-o", "none/m.gguf"), "give a file in a folder that is there"),
        (("demo", "-o", "m.gguf", "--images", "none"), "no such folder; give one with pictures"),
        (("demo", "-o", "m.gguf", "--text", "none"), "none: cannot be read"),
        (("none", "-o", "m.gguf"), "none: no such file or folder"),
    ],
)
def test_wrong_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _, said = command("imatrix", *arguments, code=2)
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_inspect_says_what_a_matrix_holds(whole: Path, tmp_path: Path) -> None:
    out, _ = command("inspect", whole)
    assert out.startswith(f"{whole}: 35 matrices of the language model (")
    assert "made from: qwen3vl-edge default set 1\n" in out
    found = json.loads(command("inspect", whole, "--json")[0])
    assert found["tensors"] == {"language_model": 35, "projector": 32}
    _, said = command("inspect", whole, "--verify", code=2)
    assert "is an importance matrix" in said
    (tmp_path / "m.dat").write_bytes(b"no matrix")
    _, said = command("inspect", tmp_path / "m.dat", code=1)
    assert "m.dat: neither GGUF nor an old .dat" in said
