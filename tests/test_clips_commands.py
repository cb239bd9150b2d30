"""Clips on the command line: plans, costs, what fits, contact sheets."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.prompt import TextPart, VisionPart
from qwen3vl_edge.runtime.cells import Pool
from tests.calls import Call
from tests.cli.test_commands import RecordingEngine, call, engine  # noqa: F401 -- fixtures
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
    code, out, err = call("ask", "demo", "What?", "-v", film, "--dry-run")
    assert code == 1  # so that a script can tell
    assert err.startswith("qwen3vl-edge: the question does not fit; ")
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


def test_several_clips_are_told_one_option_for_all(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    tmp_path: Path,
) -> None:
    """One of them is so short that it could give up nothing; a picture stands beside."""
    short, picture = write_clip(tmp_path / "short.mp4", 2), tmp_path / "red.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    engine.n_ctx = 250
    asked = ["ask", "demo", "What?", "-i", picture, "-v", film, "-v", short, "--max-tokens", "10"]
    code, out, err = call(*asked)
    assert (code, out, engine.prompts) == (1, "", [])
    assert "it fits if you show the clips with --frames " in err
    ways = re.findall(r"--(?:frames|fps) [\d.]+", err)
    assert len(ways) == 2
    _, out, _ = call(*asked, "--dry-run", "--json")
    assert [clip["fits_with"] for clip in json.loads(out)["clips"]] == [ways, ways]
    for way in ways:
        engine.pool = Pool()  # each call is a program of its own
        code, *_ = call(*asked, *way.split())
        assert code == 0


@pytest.mark.parametrize("fps", [[], ["--fps", "4"]])
def test_clips_are_shrunk_where_that_is_wanted(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
    fps: list[str],
) -> None:
    film = write_clip(tmp_path / "clip.mp4", 81, size=(640, 480))
    engine.n_ctx = 400
    asked = ["ask", "demo", "What?", "-v", film, *fps, "--when-full", "shrink", "--max-tokens", "20"]
    code, out, err = call(*asked, "--dry-run", "--json")
    assert code == 0
    (plan,) = json.loads(out)["clips"]
    assert plan["width"] * plan["height"] <= 64 * 1024
    assert 1 < len(set(plan["frames"])) < 20
    assert err == (
        f"qwen3vl-edge: the context is full: clip.mp4 is shown in {len(set(plan['frames']))} frames of "
        f"{plan['width']}×{plan['height']} px, {plan['tokens']} tokens, instead of "
        f"{40 if fps else 20} frames of 640×480 px, {20 * 300 if fps else 10 * 300} tokens\n"
    )
    assert call(*asked) == (0, "A réd\ncircle.\n", err)
    shown = [part for part in engine.prompts[0] if isinstance(part, VisionPart)]
    assert [(part.width, part.height) for part in shown] == [(plan["width"], plan["height"])] * len(shown)


def test_a_shrunk_clip_is_the_same_when_its_session_goes_on(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    film = write_clip(tmp_path / "clip.mp4", 81, size=(640, 480))
    engine.n_ctx = 500
    kept = ["--session", tmp_path / "talk.q3vl", "--max-tokens", "20"]
    code, _, err = call("ask", "demo", "What?", "-v", film, "--when-full", "shrink", *kept)
    assert (code, "is shown in" in err) == (0, True)
    engine.n_ctx = 2000
    code, _, err = call("ask", "demo", "And?", *kept)
    assert (code, err) == (0, "")
    first, second = (
        [part.digest for part in prompt if isinstance(part, VisionPart)] for prompt in engine.prompts
    )
    assert first == second


def test_dropping_turns_does_not_help_a_clip_that_is_too_long(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    tmp_path: Path,
) -> None:
    engine.n_ctx = 150
    kept = ["--session", tmp_path / "talk.q3vl", "--max-tokens", "10", "--when-full", "drop"]
    call("ask", "demo", "One?", *kept)
    code, out, err = call("ask", "demo", "What?", "-v", film, *kept)
    assert (code, out, len(engine.prompts)) == (1, "", 1)
    frames = re.findall(r"it fits if you show clip.mp4 with (--frames) (\d+)", err)
    code, out, err = call("ask", "demo", "What?", "-v", film, *kept, *frames[0])
    assert (code, "no longer sees the oldest turn" in err) == (0, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--video-max-tokens", "9"],
            "its frames take 20 tokens and not 9 at most: 10 pairs cannot be smaller; --frames",
        ),
        (["--frame-max-tokens", "1"], "a pair of its frames takes 2 tokens and not 1 at most"),
    ],
)
def test_caps_that_cannot_be_kept_are_said(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    options: list[str],
    said: str,
) -> None:
    code, out, err = call("ask", "demo", "What?", "-v", film, "--dry-run", "--json", *options)
    assert code == 0
    (note,) = json.loads(out)["clips"][0]["notes"]
    assert said in note
    assert err == f"qwen3vl-edge: {note}\n"


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


@pytest.mark.parametrize("sheet", [".", "film", "film/new.png", "film/../film/0.png", "clip.mp4", "one.png"])
def test_a_contact_sheet_is_drawn_over_nothing_that_is_shown(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sheet: str,
) -> None:
    (tmp_path / "film").mkdir()
    for path in (tmp_path / "film" / "0.png", tmp_path / "one.png"):
        Image.new("RGB", (64, 64)).save(path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    media = ["-v", film, "-v", tmp_path / "film", "-i", tmp_path / "one.png"]
    code, out, err = call("ask", "demo", "What?", *media, "--contact-sheet", sheet)
    assert (code, out, engine.prompts) == (2, "", [])
    assert f"--contact-sheet {sheet} is " in err.replace("film/../film", sheet.rpartition("/")[0])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_of_pictures_is_a_clip(call: Call, engine: RecordingEngine, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "film").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(tmp_path / "film" / f"{number}.png")
    code, out, _ = call("ask", "demo", "What?", "-v", tmp_path / "film", "--fps", 4, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["clips"][0]["stamps_s"] == [0.125, 0.625, 1.125]


def test_frames_with_times_in_their_names_are_counted_from_the_first(
    call: Call,  # noqa: F811
    engine: RecordingEngine,  # noqa: F811
    tmp_path: Path,
) -> None:
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(tmp_path / f"{60 + 2 * number}s.png")
    _, out, _ = call("ask", "demo", "What?", "-v", tmp_path, "--dry-run", "--json")
    (plan,) = json.loads(out)["clips"]
    seen = [plan["start_s"] + frame / plan["fps"] for frame in plan["frames"]]
    assert plan["stamps_s"] == [(seen[n] + seen[n + 1]) / 2 for n in range(0, len(seen), 2)]
    assert seen[0] == 60.0


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


def test_inspect_shows_a_folder_of_pictures(call: Call, tmp_path: Path) -> None:  # noqa: F811
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"")
    code, out, err = call("inspect", tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("frames ")
    assert "6 frames at 2 fps: 3.00 s, 64×64 px" in out
    code, out, err = call("inspect", tmp_path, "--verify")
    assert code == 1
    assert "5 frames, 1 cannot be" in out
    assert "not whole: 1 of its frames cannot be decoded" in err


@pytest.mark.parametrize("name", ["clip", "clip.bin", "clip.png"])
def test_inspect_knows_a_clip_by_its_content(call: Call, film: Path, name: str) -> None:  # noqa: F811
    code, out, err = call("inspect", film.rename(film.with_name(name)))
    assert (code, err) == (0, "")
    assert "81 frames at 8 fps, 96×64 px, codec FMP4" in out


def test_inspect_decodes_a_whole_clip(call: Call, film: Path, tmp_path: Path) -> None:  # noqa: F811
    code, out, err = call("inspect", film, "--verify", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["verification"] == {"n_decoded": 81, "n_damaged": 0, "missing": [], "ok": True}
    animation = write_animation(tmp_path / "a.gif", [100] * 5)
    _, out, _ = call("inspect", animation, "--verify")
    assert re.search("^decoded +5 frames$", out, re.MULTILINE)
    short = write_clip(tmp_path / "short.mkv", 600, 25.0, size=(320, 240))
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    code, out, err = call("inspect", short, "--verify")
    assert code == 1
    assert "decoded" in out
    assert "not whole: short.mkv: only " in err


def test_inspect_refuses_options_of_models_for_a_clip(call: Call, film: Path) -> None:  # noqa: F811
    code, out, err = call("inspect", film, "--verify", "--mmproj", film)
    assert (code, out) == (2, "")
    assert "--mmproj is for models" in err
