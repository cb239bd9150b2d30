"""`quantize` as a user calls it, on small files; in this process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.cli.layer_names import merged_name
from qwen3vl_edge.converters import convert
from qwen3vl_edge.gguf_info import GGUFInfo
from tests.calls import Call, calling
from tests.quant.tiny_gguf import TinyModel, tiny_tensors, write_gguf
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

PROGRAM = (sys.executable, "-c", "from qwen3vl_edge.cli.main import run; run()")


@pytest.fixture
def quantize(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Call]:
    """Run `qwen3vl-edge quantize` in a folder of its own; gives exit code, stdout and stderr."""

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "250")
    terminated = signal.getsignal(signal.SIGTERM)
    yield calling(monkeypatch, capsys, "quantize")
    signal.signal(signal.SIGTERM, terminated)


@pytest.fixture
def lone(tmp_path: Path) -> Path:
    model = TinyModel(8)
    return write_gguf(tmp_path / "tiny-F32.gguf", model, tiny_tensors(model))


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """The files of a bundle without a manifest."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bare"))
    (folder / "manifest.json").unlink()
    return folder


def model_of(folder: Path) -> Path:
    return next(path for path in folder.glob("*.gguf") if not path.name.startswith("mmproj-"))


def test_a_language_model_alone(quantize: Call, lone: Path) -> None:
    code, out, err = quantize(lone, "--type", "q4_k", "--type", "Q4_K")
    assert (code, sorted(path.name for path in Path().glob("*/*"))) == (
        0,
        ["tiny-Q4_K_M.gguf", "tiny-Q4_K_M.manifest.json"],
    )
    assert Path("tiny-Q4_K_M").is_dir()  # named as the file is, not as the type was spelled
    assert "tiny-Q4_K_M.gguf" in out
    assert "only the language model is quantized: " in err
    assert "no mmproj-*.gguf beside it" in err
    assert "not verified: only a language model with its projector can be tried" in err
    assert "not verified" not in quantize(lone, "--type", "Q8_0", "--no-verify")[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--type", "Q8_0", "--name", "."), "'.' cannot be made into a file name"),
        (("--type", "Q8_0", "--projector-type", "Q8_0"), "--projector-type: "),
        (("--type", "Q8_0", "--tensor", r"v\.blk=Q8_0"), "found in no tensor that is quantized"),
        (("--type", "F16", "--output-type", "Q8_0"), "--output-type: decides nothing"),
    ],
)
def test_wrong_calls_exit_2(quantize: Call, lone: Path, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = quantize(lone, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert list(Path().iterdir()) == []


def test_a_path_for_a_name_stays_inside(quantize: Call, lone: Path) -> None:
    assert quantize(lone, "--type", "Q8_0", "--name", "../evil", "-o", "out")[0] == 0
    assert [path.name for path in Path().iterdir()] == ["out"]
    assert (Path("out") / "evil-Q8_0.gguf").exists()


def test_several_projectors_beside_it(quantize: Call, folder: Path) -> None:
    projector = next(folder.glob("mmproj-*"))
    shutil.copy(projector, folder / "mmproj-tiny-BF16.gguf")
    code, _, err = quantize(model_of(folder), "--type", "Q8_0", "--projector-type", "Q8_0")
    assert code == 2
    assert "several projectors beside it" in err
    assert quantize(model_of(folder), "--type", "Q8_0", "--dry-run")[0] == 0


def test_a_projector_of_another_model_beside_it(quantize: Call, folder: Path, tmp_path: Path) -> None:
    other = convert(write_tiny_checkpoint(tmp_path / "c", shape=TinyShape(hidden=288)), tmp_path / "other")
    projector = next(folder.glob("mmproj-*"))
    shutil.copy(other.projector, projector)
    code, out, err = quantize(model_of(folder), "--type", "Q8_0", "--dry-run")
    assert (code, "mmproj-" in out) == (0, False)
    assert "only the language model is quantized: " in err
    assert "does not belong to" in err
    assert quantize(model_of(folder), "--type", "Q8_0", "--projector-type", "Q8_0")[0] == 2


def test_what_is_neither_file_nor_folder(quantize: Call) -> None:
    os.mkfifo("pipe.gguf")
    code, _, err = quantize("pipe.gguf", "--type", "Q8_0")
    assert code == 2
    assert "pipe.gguf: neither file nor folder" in err


@pytest.mark.parametrize("manifest", [True, False])
def test_a_bundle_with_the_model_s_config_beside_it(
    quantize: Call, tiny_bundle: Bundle, folder: Path, manifest: bool
) -> None:
    (folder / "config.json").write_text("{}")
    if manifest:
        shutil.copy(tiny_bundle.folder / "manifest.json", folder)
    code, out, _ = quantize(folder, "--type", "Q8_0", "--dry-run")
    assert (code, "-Q8_0.gguf" in out) == (0, True)


def test_the_plan_says_why_and_which_layers(quantize: Call, lone: Path) -> None:
    code, out, _ = quantize(lone, "--type", "Q4_K_M", "--dry-run")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("blk.")}
    more = "recipe: ffn_down in the outer eighths and every third layer"
    assert more in rows["blk.{0,3,6-7}.ffn_down.weight"]
    assert rows["blk.{1-2,4-5}.ffn_down.weight"].split()[-1] == "recipe"
    assert "blk.*.attn_q.weight" in rows
    _, out, _ = quantize(lone, "--type", "Q4_K_M", "--dry-run", "--json")
    (file,) = json.loads(out)["files"]
    assert all(set(tensor) == {"name", "shape", "type", "why", "size_bytes"} for tensor in file["tensors"])
    whys = {tensor["name"]: tensor["why"] for tensor in file["tensors"]}
    assert (whys["blk.0.ffn_down.weight"], whys["blk.0.attn_norm.weight"]) == (more, "kept: norm")


def test_reasons_are_readable_in_a_narrow_terminal(
    quantize: Call, lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = quantize(lone, "--type", "Q4_K_M", "--dry-run")
    (line,) = [line for line in out.splitlines() if line.startswith("blk.{0,3,6-7}.ffn_down.weight")]
    assert "recipe: ffn_down in the outer eighths" in line


def test_merged_names() -> None:
    names = [f"v.blk.{i}.ln1.bias" for i in (0, 1, 2, 7, 9, 10)]
    assert merged_name(names, 11) == "v.blk.{0-2,7,9-10}.ln1.bias"
    assert merged_name(names, 6) == "v.blk.*.ln1.bias"
    assert merged_name(names[:1], 1) == "v.blk.0.ln1.bias"


def test_types_that_do_not_fit_are_listed_as_such(quantize: Call, tmp_path: Path) -> None:
    model = TinyModel(2, row=64, down_row=64)
    narrow = write_gguf(tmp_path / "narrow-F32.gguf", model, tiny_tensors(model))
    code, out, _ = quantize(narrow, "--list-types")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("Q1_0 ")]
    assert "does not fit" in line
    rows = {row["type"]: row for row in json.loads(quantize(narrow, "--list-types", "--json")[1])}
    assert "rows of 64 do not fit Q1_0" in rows["Q1_0"]["problem"]
    assert rows["Q1_0"]["size_bytes"] is None
    assert rows["Q4_K_M"]["size_bytes"] == size_of(quantize, narrow, "Q4_K_M")


def size_of(quantize: Call, source: Path, file_type: str) -> int:
    """Return the bytes of the tensors of the file that this type makes."""
    assert quantize(source, "--type", file_type, "-o", "sized", "--no-verify")[0] == 0
    (made,) = Path("sized").glob("*.gguf")
    return sum(tensor.nbytes for tensor in GGUFInfo.read(made).tensors)


def test_sizes_are_those_without_a_matrix_unless_one_is_given(quantize: Call, lone: Path) -> None:
    """IQ4_XS takes more bits for some layers where there is none."""
    sizes = []
    for more in ((), ("--imatrix", "any")):
        rows = json.loads(quantize(lone, "--list-types", "--json", *more)[1])
        sizes.append(next(row["size_bytes"] for row in rows if row["type"] == "IQ4_XS"))
    assert sizes[0] == size_of(quantize, lone, "IQ4_XS") > sizes[1]


def test_lists_of_types_need_no_runtime() -> None:
    code = (
        "import sys; import qwen3vl_edge.cli.type_list; "
        "assert not {'qwen3vl_edge.captions.run', 'qwen3vl_edge.runtime.engine'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    shape = TinyShape(hidden=768, ffn=2560, n_layers=8)
    checkpoint = write_tiny_checkpoint(tmp_path / "Tiny", shape=shape)
    out = tmp_path / "out"
    process = subprocess.Popen([*PROGRAM, "convert", str(checkpoint), "-o", str(out), "--type", "IQ4_XS"])
    while process.poll() is None and not list(out.glob(".*.part")):
        time.sleep(0.002)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not out.exists()
