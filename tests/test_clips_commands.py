"""Clips on the command line: plans, costs, what fits, contact sheets."""

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.prompt import TextPart, VisionPart
from tests.cli.test_commands import Call, RecordingEngine, call, engine  # noqa: F401 -- fixtures
from tests.damaged_clips import write_animation
from tests.mp4_boxes import with_rotation
from tests.test_video import write_clip


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 81)


def test_a_dry_run_shows_the_plan(call: Call, engine: RecordingEngine, film: Path) -> None:  # noqa: F811
    code, out, err = call("ask", "demo", "What?", "-v", film, "--dry-run", "--json")
    assert (code, err, engine.prompts) == (0, "", [])
    report = json.loads(out)
    (plan,) = report["clips"]
    assert plan["fps"] == 8.0
    assert plan["frames"] == [0, 4, 8, 13, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63, 67, 72, 76, 80]
    assert plan["stamps_s"][:2] == [0.25, 1.3125]
    assert (plan["width"], plan["height"], plan["tokens"]) == (96, 64, 60)
    assert report["vision"] == plan["tokens"]
    assert plan["fits_with"] == []


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (["--fps", "1"], [0, 9, 18, 27, 36, 44, 53, 62, 71, 80]),
        (["--frames", "3"], [0, 40, 80, 80]),
        (["--start", "5", "--frames", "2"], [40, 80]),
        (["--end", "1", "--frames", "2"], [0, 8]),
    ],
)
def test_options_change_which_frames_are_shown(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    options: list[str],
    frames: list[int],
) -> None:
    _, out, _ = call("ask", "demo", "What?", "-v", film, "--dry-run", "--json", *options)
    assert json.loads(out)["clips"][0]["frames"] == frames
    call("ask", "demo", "What?", "-v", film, *options)
    assert sum(isinstance(part, VisionPart) for part in engine.prompts[0]) == len(frames) // 2


@pytest.mark.parametrize(
    ("options", "most"), [(["--frame-max-tokens", "2"], 20), (["--video-max-tokens", "30"], 30)]
)
def test_options_change_what_a_clip_may_take(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    options: list[str],
    most: int,
) -> None:
    _, out, _ = call("ask", "demo", "What?", "-v", film, "--dry-run", "--json", *options)
    assert 0 < json.loads(out)["vision"] <= most


def test_a_dry_run_in_words_names_what_would_fit(call: Call, engine: RecordingEngine, film: Path) -> None:  # noqa: F811
    engine.n_ctx = 150
    code, out, _ = call("ask", "demo", "What?", "-v", film, "--dry-run")
    assert code == 0
    assert "clip.mp4: 20 of 81 frames (10.1 s at 8 fps) at 0.2, 1.3, …, 9.8 s, 96×64 px, 60 tokens" in out
    assert "  fits with --frames " in out


def test_a_clip_that_does_not_fit_is_refused_with_the_option_that_helps(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
) -> None:
    engine.n_ctx = 150
    code, out, err = call("ask", "demo", "What?", "-v", film, "--max-tokens", "10")
    assert (code, out, engine.prompts) == (1, "", [])
    assert err.count("\n") == 1
    assert "tokens and the context 150; it fits if you show clip.mp4 with --frames " in err
    n_frames = err.split("--frames ")[1].split()[0]
    code, *_ = call("ask", "demo", "What?", "-v", film, "--max-tokens", "10", "--frames", n_frames)
    assert code == 0


def test_the_chat_shows_clips_as_it_is_told(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"What?\n{film} And?\n"))
    code, *_ = call("chat", "demo", "-v", film, "--frames", 4, "--vision-ids")
    assert code == 0
    first, second = engine.prompts
    assert [sum(isinstance(part, VisionPart) for part in prompt) for prompt in (first, second)] == [2, 4]
    assert "Video 2: <" in "".join(part.text for part in second if isinstance(part, TextPart))
    code, out, err = call("chat", "demo", "--fps", 1, "--frames", 4)
    assert (code, out) == (2, "")
    assert "--fps and --frames" in err


def test_what_could_not_be_read_is_said(call: Call, engine: RecordingEngine, tmp_path: Path) -> None:  # noqa: F811
    path = write_clip(tmp_path / "short.mkv", 600, 25.0, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, out, err = call("ask", "demo", "What?", "-v", path)
    assert (code, out) == (0, "A réd\ncircle.\n")
    assert err.startswith("qwen3vl-edge: short.mkv: only ")
    assert err.count("\n") == 1


def test_a_contact_sheet_is_drawn(call: Call, engine: RecordingEngine, film: Path, tmp_path: Path) -> None:  # noqa: F811
    code, *_ = call("ask", "demo", "What?", "-v", film, "-v", film, "--contact-sheet", tmp_path / "sheet.png")
    assert code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.height > 600


def test_a_folder_of_pictures_is_a_clip(call: Call, engine: RecordingEngine, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "film").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(tmp_path / "film" / f"{number}.png")
    code, out, _ = call("ask", "demo", "What?", "-v", tmp_path / "film", "--fps", 4, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["clips"][0]["stamps_s"] == [0.125, 0.625, 1.125]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-v", "FILM", "--fps", "1", "--frames", "3"], "--fps and --frames"),
        (["-v", "FILM", "--start", "60"], "no frame in the range"),
        (["-v", "FILM", "--start", "3", "--end", "2"], "from 3 s to 2 s"),
        (["--fps", "1"], "about clips"),
    ],
)
def test_wrong_calls_are_told_before_any_work(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    options: list[str],
    said: str,
) -> None:
    code, out, err = call("ask", "demo", "What?", *(film if word == "FILM" else word for word in options))
    assert (code, out, engine.prompts) == (2, "", [])
    assert said in err
    assert err.count("\n") == 1


def test_inspect_shows_what_a_clip_says_and_holds(call: Call, tmp_path: Path) -> None:  # noqa: F811
    path = write_clip(tmp_path / "turned.mp4", 33)
    path.write_bytes(with_rotation(path.read_bytes()))
    code, out, err = call("inspect", path, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["container"] == {
        "codec": "FMP4",
        "n_frames": 33,
        "fps": 8.0,
        "width": 96,
        "height": 64,
        "rotation_deg": told["container"]["rotation_deg"],
    }
    assert told["container"]["rotation_deg"] in {90, 270}
    assert (told["found"]["width"], told["found"]["height"], told["duration_s"]) == (64, 96, 4.125)
    assert (told["n_shown"], told["n_tokens"]) == (8, 24)


def test_inspect_says_what_of_a_clip_cannot_be_read(call: Call, tmp_path: Path) -> None:  # noqa: F811
    path = write_clip(tmp_path / "short.mkv", 600, 25.0, size=(320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, out, err = call("inspect", path)
    assert code == 0
    assert "600 frames at 25 fps, 320×240 px, codec VP90" in out
    assert "short.mkv: only " in err
    path.write_bytes(b"nothing")
    code, out, err = call("inspect", path)
    assert (code, out) == (1, "")
    assert "not a clip" in err


def test_inspect_shows_an_animation(call: Call, tmp_path: Path) -> None:  # noqa: F811
    _, out, _ = call("inspect", write_animation(tmp_path / "a.gif", [100] * 5))
    assert out.startswith("animation ")
    assert "5 frames at 10 fps: 0.50 s, 96×64 px" in out
