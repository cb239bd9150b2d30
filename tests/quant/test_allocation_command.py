"""`quantize --bpw` and its kin as a user calls them; in this process."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.manifest import Manifest
from tests.calls import Call, calling
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint

FEW = ("--types", "q4_k,Q6_K,Q8_0,F16")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("order") / "Tiny", shape=TinyShape(ffn=512))
    return convert(folder, folder.parent / "f16", type="f16")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Call]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    terminated = signal.getsignal(signal.SIGTERM)
    yield calling(monkeypatch, capsys)
    signal.signal(signal.SIGTERM, terminated)


def test_the_choices_are_shown_written_and_used_again(command: Call, bundle: Bundle) -> None:
    order = ("quantize", bundle.folder, "--bpw", 8, *FEW)
    code, shown, _ = command(*order, "--save-recipe", "r.json", "-o", "first", "--no-verify")
    assert code == 0
    assert "share of the damage" in shown
    first = Manifest.read(Path("first"))
    assert first.recipe is not None
    assert first.recipe.order is not None
    assert first.recipe.order.types == ("Q4_K", "Q6_K", "Q8_0", "F16")
    assert command("quantize", bundle.folder, "--recipe", "r.json", "-o", "again", "--no-verify")[0] == 0
    again = Manifest.read(Path("again"))
    assert [file.sha256 for file in again.files] == [file.sha256 for file in first.files]


def test_json_tells_each_choice(command: Call, bundle: Bundle) -> None:
    size = sum(path.stat().st_size for path in (bundle.model, bundle.projector)) * 7 // 10
    code, shown, _ = command("quantize", bundle.folder, "--fit", size, *FEW, "--dry-run", "--json")
    assert code == 0
    plan = json.loads(shown)
    assert sum(file["size_bytes"] for file in plan["files"]) <= size
    planned = {tensor["name"]: tensor["type"] for file in plan["files"] for tensor in file["tensors"]}
    chosen = plan["order"]["tensors"]
    assert chosen
    assert all(planned[tensor["name"]] == tensor["type"] for tensor in chosen)
    assert sum(tensor["damage"] for tensor in chosen) == pytest.approx(plan["order"]["damage"])
    assert not list(Path.cwd().iterdir())


def test_room_for_all_is_said(command: Call, bundle: Bundle) -> None:
    code, shown, _ = command("quantize", bundle.folder, "--fit", "1G", *FEW, "--dry-run")
    assert code == 0
    assert "nothing is lost" in shown


def test_room_for_all_is_said_of_a_checkpoint_too(command: Call, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "Tiny", shape=TinyShape(ffn=512))  # bfloat16, written as F16
    code, shown, _ = command("convert", folder, "--fit", "1G", *FEW, "--dry-run")
    assert code == 0
    assert "nothing is lost" in shown
    assert "no other choice has less than 100.00 %" in shown


def test_a_recipe_for_both_serves_a_language_model_alone(command: Call, bundle: Bundle) -> None:
    order = ("quantize", bundle.folder, "--bpw", 10, *FEW, "--projector-type", "Q8_0", "--dry-run")
    assert command(*order, "--save-recipe", "r.json")[0] == 0
    Path("alone").mkdir()
    shutil.copy(bundle.model, "alone")
    alone = Path("alone") / bundle.model.name
    code, shown, _ = command("quantize", alone, "--recipe", "r.json", "--dry-run", "--json")
    assert code == 0
    (file,) = json.loads(shown)["files"]
    types = json.loads(Path("r.json").read_text())["tensors"]
    assert types.items() <= {tensor["name"]: tensor["type"] for tensor in file["tensors"]}.items()


def test_where_recipes_go_is_looked_at_before_anything_is_measured(
    command: Call, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen3vl_edge.quant.allocation.order.measure_errors", None)
    order = ("quantize", bundle.folder, "--bpw", 8, *FEW, "--dry-run", "--save-recipe")
    for path in (bundle.model, "none/r.json", "."):
        code, _, said = command(*order, path)
        assert code == 2
        assert "another name" in said
    assert bundle.model.read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bpw", 5, "--fit", "3G"), "two sizes"),
        (("--bpw", 5, "--type", "Q4_K_M"), "two ways"),
        (("--bpw", 5, "--pure"), "two ways"),
        (("--type", "Q4_K_M", "--types", "Q4_K"), "--types is for"),
        (("--type", "Q4_K_M", "--save-recipe", "r.json"), "--save-recipe is for"),
        (("--bpw", 5, "--types", "TQ1_0"), "cannot be ordered"),
        (("--bpw", 0.5, *FEW), "is too small"),
        (("--bpw", 5, "--types", "IQ2_XS"), "need an importance matrix with"),
        (("--fit", "lots"), "is no size"),
        (("--recipe", "missing.json"), "missing.json: cannot be read"),
    ],
)
def test_wrong_calls(command: Call, bundle: Bundle, arguments: tuple[object, ...], words: str) -> None:
    code, shown, said = command("quantize", bundle.folder, *arguments)
    assert (code, shown) == (2, "")
    assert words in said
    assert len(said.strip().splitlines()) == 1
