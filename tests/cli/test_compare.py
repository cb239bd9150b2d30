"""`compare` and `recommend` as a user calls them, on the demo model; in this process."""

import json
import sys
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.cli.recommend import parse_share
from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.errors import UsageError
from tests.calls import Call, calling

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command with these arguments; gives exit code, stdout and stderr."""

    monkeypatch.setenv("COLUMNS", "120")
    return calling(monkeypatch, capsys)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("red_circle.png", "orange_star.png"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def two_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "two-bits"
    return convert(CHECKPOINT, folder, type="Q2_K", projector_type="q4_0", name="demo").folder


def test_from_pictures_to_advice(
    call: Call, pictures: Path, two_bits: Path, demo_f32: Bundle, tmp_path: Path
) -> None:
    plot, card, cache = tmp_path / "loss.svg", tmp_path / "CARD.md", tmp_path / "cache"
    questions = tmp_path / "questions.txt"
    questions.write_text("Describe this image.\nWhat color is the shape?\n")
    asked = (
        "--images",
        pictures,
        "--questions",
        questions,
        "--answer-tokens",
        12,
        "--image-max-tokens",
        64,
        "--cache",
        cache,
        "--threads",
        2,
    )
    files = ("--plot", plot, "--card", card)
    code, out, err = call("compare", demo_f32.folder, "demo", two_bits, *asked, *files, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [each["pair"]["name"] for each in found["candidates"]] == ["demo", "two-bits"]
    eight, two = (each["losses"]["both"]["picture"] for each in found["candidates"])
    assert eight["n_prompts"] == two["n_prompts"] == 4
    assert 0 < eight["kl"]["value"] < two["kl"]["value"]
    assert found["candidates"][0]["losses"]["both"]["text"] is None
    assert "two-bits" in plot.read_text("utf-8")
    assert f"--images {pictures}" in card.read_text("utf-8")

    code, out, err = call("compare", demo_f32.folder, "demo", two_bits, *asked)
    assert (code, err) == (0, "")
    assert "4 questions about 2 pictures" in out.replace("\n", " ")
    assert "language model" in out

    loss = tmp_path / "loss.json"
    loss.write_text(json.dumps(found))
    between = (eight["kl"]["value"] + two["kl"]["value"]) / 2
    code, out, _ = call("recommend", loss, "--max-kl", between)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["two-bits", "demo"]
    assert "take this one" in out.splitlines()[-1]
    code, out, _ = call("recommend", demo_f32.folder, "demo", two_bits, *asked, "--max-kl", 10, "--json")
    assert (code, json.loads(out)["chosen"]) == (0, "two-bits")
    code, _, err = call("recommend", loss, "--max-kl", 0)
    assert code == 1
    assert "no candidate stays within the bounds" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "demo", "demo", "--captions"], "--captions changes nothing"),
        (["compare", "demo", "demo", "--max-videos", 3, "--images", "."], "--max-videos changes nothing"),
        (["compare", "demo", "demo", "--images", "nowhere"], "no such folder"),
        (["compare", "demo", "demo", "--plot", "loss.pdf"], ".png or .svg"),
        (["compare", "demo", "demo", "--card", "nowhere/CARD.md"], "there is no folder"),
        (["compare", "demo", "demo", "--card", "."], "is a folder; name a file in it"),
        (["compare", "demo", "demo", "--plot", "a.svg", "--card", "./a.svg"], "both --plot and --card"),
        (["compare", "demo", "demo", "--image-max-tokens", 9], "--image-max-tokens changes nothing"),
        (
            ["compare", "demo", "demo", "--images", ".", "--frames", 4],
            "--frames and the like changes nothing",
        ),
        (["recommend", "demo", "demo", "--max-size", "3G", "--sure"], "--sure is about losses"),
        (["compare", "demo", "nowhere"], "no such file"),
        (["recommend", "demo", "--max-kl", 1], "nothing to choose from"),
        (["recommend", "demo", "demo"], "nothing is bounded"),
        (["recommend", "demo", "demo", "--max-flips", "few"], "no share"),
        (["recommend", "loss.json", "--max-kl", 1, "--chunks", 2], "measured already"),
    ],
)
def test_wrong_calls_are_told_before_the_work(call: Call, arguments: list[object], said: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_missing_matplotlib_is_told_before_the_work(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = call("compare", "demo", "demo", "--plot", "loss.png")
    assert code == 2
    assert "pip install 'qwen3vl-edge[plots]'" in err


def test_shares_are_written_in_two_ways() -> None:
    assert parse_share("2%") == parse_share("0.02") == 0.02
    for wrong in ("", "2 of 100", "-1%", "nan"):
        with pytest.raises(UsageError):
            parse_share(wrong)
