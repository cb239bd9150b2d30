"""`caption` as a user calls it: what it writes, prints, says and returns."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3vl_edge.captions.places import locked, places_to_lock
from qwen3vl_edge.captions.presets import DEFAULT_PROMPT
from qwen3vl_edge.cli import options
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.limits import MediaLimits
from tests.calls import Call, calling
from tests.cli.caption_cases import WORKER, Opened, put_pictures, scripted
from tests.test_video import write_clip


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return calling(monkeypatch, capsys, "caption")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Opened:
    (tmp_path / "notes").mkdir()
    return scripted(monkeypatch, tmp_path / "notes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put_pictures(tmp_path / "pictures", "a.png", "b.png", "sub/c.png")


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.txt"))}


def test_a_folder_gets_text_files_and_says_so(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "notes.md").write_text("no picture")
    code, out, err = call("demo", folder, "-r", "--prompt", "{stem}")
    assert (code, out) == (0, "")
    assert texts(folder) == {
        "a.txt": "a caption of a",
        "b.txt": "a caption of b",
        "sub/c.txt": "a caption of c",
    }
    assert "3 captioned in 0:0" in err
    code, out, err = call("demo", folder, "-r", "--prompt", "{stem}")
    assert (code, out) == (0, "")
    assert "3 skipped: captioned before" in err


def test_files_are_printed_a_line_each_and_nothing_else(call: Call, opened: Opened, folder: Path) -> None:
    code, out, err = call("demo", folder / "b.png", folder / "a.png", "--prompt", "{stem}\n{width}")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [
        f"{folder}/a.png: a caption of a 64",
        f"{folder}/b.png: a caption of b 64",
    ]
    assert not texts(folder)
    assert not list(folder.glob(".*"))


def test_json_lines_on_standard_output(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"nothing")
    code, out, err = call("demo", folder, "--json", "--prompt", "{name}")
    records = {Path(record["path"]).name: record for record in map(json.loads, out.splitlines())}
    assert code == 1
    assert records.keys() == {"a.png", "b.png", "bad.png"}
    assert records["a.png"]["caption"] == "a caption of a.png"
    assert "not a picture" in records["bad.png"]["error"]
    assert "bad.png" in err
    assert not texts(folder)


def test_records_in_several_files_and_text_files_at_once(call: Call, opened: Opened, folder: Path) -> None:
    jsonl, table = folder / "all.jsonl", folder / "all.csv"
    (folder / "bad.png").write_bytes(b"")
    code, out, err = call(
        "demo", folder, "-o", jsonl, "-o", table, "--sidecar", ".caption", "--prompt", "{stem}"
    )
    assert (code, out) == (1, "")
    assert "bad.png is empty" in err
    records = {record["path"]: record for record in map(json.loads, jsonl.read_text().splitlines())}
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(table.read_text()))}
    assert records.keys() == rows.keys() == {f"{folder}/{name}.png" for name in ("a", "b", "bad")}
    assert rows[f"{folder}/a.png"]["caption"] == records[f"{folder}/a.png"]["caption"] == "a caption of a"
    assert "empty" in records[f"{folder}/bad.png"]["error"]
    assert (folder / "b.caption").read_text() == "a caption of b"


def test_a_run_goes_on_where_it_was_and_failures_are_taken_up_when_wanted(
    call: Call, opened: Opened, folder: Path
) -> None:
    out = folder / "all.jsonl"
    good = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(good[:40])
    assert call("demo", folder, "-o", out, "--prompt", "x")[0] == 1
    (folder / "b.png").write_bytes(good)
    os.utime(folder / "b.png", ns=(1, 1))
    assert call("demo", folder, "-o", out, "--prompt", "x")[0] == 0  # another content: a new item
    (folder / "gone.png").symlink_to(folder / "nowhere")
    assert call("demo", folder / "gone.png", "-o", out, "--prompt", "x")[0] == 1
    put_pictures(folder, "nowhere.png")
    code, _, err = call("demo", folder / "gone.png", "-o", out, "--prompt", "x", "--mode", "overwrite")
    assert code == 1
    assert "failed before (--retry-failed takes them again)" in err


def test_a_file_that_crashes_the_worker_is_set_aside(call: Call, opened: Opened, folder: Path) -> None:
    put_pictures(folder, "abort.png")
    code, _, err = call("demo", folder, "--prompt", "{name}", "--parallel", 2)
    assert code == 1
    assert sorted(texts(folder)) == ["a.txt", "b.txt"]
    assert "SIGABRT" in err
    assert "1 crashed the worker and are set aside" in err


def test_presets_prompts_and_wording(call: Call, opened: Opened, folder: Path) -> None:
    asked = ["--preset", "brief", "--prompt", "mood={stem}?", "--prompt", "plain={name}"]
    worded = ["--trigger", "sks", "--prefix", "<", "--suffix", ">", "--strip", "a caption of"]
    code, out, _ = call("demo", folder / "a.png", *asked, *worded)
    assert code == 0
    brief, mood, plain = out.splitlines()
    assert brief == f"{folder}/a.png (brief): sks, <Describe this image in one short sentence.>"
    assert (mood, plain) == (f"{folder}/a.png (mood): sks, <a?>", f"{folder}/a.png (plain): sks, <a.png>")
    assert [prompt.max_tokens for prompt in opened.settings[0].prompts] == [128, 256, 256]


def test_line_ends_can_be_typed(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "a.txt").write_text("old")
    how = ["--sidecar", ".txt", "--mode", "append", "--separator", r"\n--\n", "--suffix", r"\t|\\n"]
    assert call("demo", folder / "a.png", "--prompt", "x", *how)[0] == 0
    assert (folder / "a.txt").read_text() == "old\n--\na caption of x\t|\\n"


def test_every_option_reaches_the_worker(call: Call, opened: Opened, folder: Path) -> None:
    wanted = ["--max-tokens", 9, "--min-tokens", 2, "--seed", 5, "--temperature", 0, "--system", "Be brief."]
    limits = ["--max-pixels", "300M", "--max-bytes", "2M", "--parallel", 3, "--ctx", 2048, "--threads", 2]
    shown = ["--frames", 4, "--frame-max-tokens", 64, "--stop", r"END\n", "--preset", "json"]
    assert call("demo", folder / "a.png", *wanted, *limits, *shown)[0] == 1  # the script writes no JSON
    [settings] = opened.settings
    assert (settings.options.min_tokens, settings.options.sampling.seed) == (2, 5)
    assert (settings.options.sampling.temperature, settings.options.stop) == (0, ("END\n",))
    assert (settings.system, settings.n_parallel) == ("Be brief.", 3)
    assert settings.limits == MediaLimits(300_000_000, 2 << 20)
    assert (settings.engine.n_ctx, settings.engine.n_threads) == (2048, 2)
    assert (settings.clip_options.n_frames, settings.clip_options.max_frame_tokens) == (4, 64)
    [prompt] = settings.prompts
    assert (prompt.name, prompt.max_tokens, prompt.structured) == ("json", 9, True)
    assert prompt.grammar


def test_a_schema_holds_for_all_prompts(call: Call, opened: Opened, folder: Path) -> None:
    code, out, err = call("demo", folder / "a.png", "--prompt", "What?", "--schema", "name, n int")
    assert (code, out) == (1, "")
    assert "the answer does not follow the schema: not JSON" in err
    [settings] = opened.settings
    assert settings.options.constraint is not None
    assert [prompt.structured for prompt in settings.prompts] == [True]


def test_tags_and_existing_captions_are_asked_with(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "a.txt").write_text("cat, grey")
    code, *_ = call("demo", folder / "a.png", "--prompt", "{tags}|{existing}", "--sidecar", ".caption")
    assert code == 0
    assert (folder / "a.caption").read_text() == "a caption of cat, grey|cat, grey"
    (folder / "a.tags").write_text("dog")
    asked = ["--prompt", "{tags}|{existing}", "--tags-from", ".tags", "--mode", "append"]
    assert call("demo", folder / "a.png", *asked, "--sidecar", ".txt")[0] == 0
    assert (folder / "a.txt").read_text() == "cat, grey, a caption of dog|cat, grey"


def test_lists_name_files_and_folders(call: Call, opened: Opened, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(
        os.fsencode(folder / "a.png") + b"\0" + os.fsencode(folder / "sub") + b"\0absent.jpg"
    )
    code, out, err = call("demo", "--from-file", tmp_path / "list", "-0", "-o", "-", "--prompt", "{stem}")
    assert code == 1
    assert sorted(line.rpartition(" ")[2] for line in out.splitlines()) == ["a", "c"]
    assert "absent.jpg: cannot be read" in err


def test_clips_in_the_folder_are_captioned_as_such(call: Call, opened: Opened, folder: Path) -> None:
    film = write_clip(folder / "film.mp4", 20)
    code, out, _ = call("demo", film, folder / "a.png", "--frames", 4)
    assert code == 0
    assert sorted(out.splitlines()) == [
        f"{folder}/a.png: a caption of {DEFAULT_PROMPT.picture}",
        f"{film}: a caption of <0.4 seconds><2.0 seconds>{DEFAULT_PROMPT.clip}",
    ]


def test_dry_runs_count_and_change_nothing(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "a.txt").write_text("there")
    before = sorted(folder.rglob("*"))
    code, out, _ = call("demo", folder, "-r", "--dry-run")
    assert code == 0
    assert "2 pictures would be captioned\n1 skipped: have a caption already" in out
    forecast = json.loads(call("demo", folder, "-r", "--dry-run", "--json", "--sidecar", ".txt")[1])
    assert (forecast["pictures"], forecast["clips"], forecast["skipped"]) == (2, 0, {"has a caption": 1})
    assert forecast["seconds"] is None
    assert sorted(folder.rglob("*")) == before
    assert not opened.settings
    assert call("demo", folder, "-r", "--prompt", "x")[0] == 0
    code, out, _ = call("demo", folder, "-r", "--prompt", "x", "--mode", "overwrite", "--dry-run")
    assert "3 pictures would be captioned" in out  # the run before was not cut off
    assert "at the pace of earlier runs" in out


def test_quiet_says_nothing(call: Call, opened: Opened, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"nothing")
    assert call("demo", folder, "-q") == (1, "", "")


def test_events_and_log(call: Call, opened: Opened, folder: Path, tmp_path: Path) -> None:
    (folder / "bad\x1b.png").write_bytes(b"nothing")
    (folder / "a.txt").write_text("there")
    events, log = tmp_path / "events.jsonl", tmp_path / "log"
    assert (
        call("demo", folder, "--events", events, "--log", log, "--prompt", "p={stem}", "--parallel", 2)[0]
        == 1
    )
    told = [json.loads(line) for line in events.read_text().splitlines()]
    names = [event["event"] for event in told]
    assert (names[0], names[-1]) == ("start", "end")
    assert {"opened", "parallel", "item", "skipped", "progress"} <= set(names)
    items = {Path(event["path"]).name: event for event in told if event["event"] == "item"}
    assert items["b.png"]["captions"] == {"p": "a caption of b"}
    assert items["bad\x1b.png"]["status"] == "failed"
    assert told[-1] | {"time": 0} == {
        "event": "end", "time": 0, "exit_code": 1, "done": 1, "restored": 0, "failed": 1, "crashed": 0,
        "skipped": {"has a caption": 1}, "whole": True,
    }  # fmt: skip
    logged = log.read_text()
    assert "\x1b" not in logged
    assert r"failed: not a picture, or of an unknown kind: " in logged
    assert "1 captioned in" in logged.splitlines()[-1]


def test_equal_notes_are_counted_after_the_third(call: Call, opened: Opened, tmp_path: Path) -> None:
    folder = put_pictures(tmp_path / "many", *(f"{number}.png" for number in range(7)))
    code, _, err = call("demo", folder, "--prompt", "a=x", "--prompt", "b=x", "--max-tokens", 3)
    assert code == 0
    cut = "cut off after 3 tokens; --max-tokens allows more"
    assert len([line for line in err.splitlines() if line.endswith(f".png: {cut}")]) == 3
    assert f"qwen3vl-edge: 7 times: {cut}" in err


def test_ctrl_c_keeps_what_is_there_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = put_pictures(tmp_path / "many", *(f"{number:02}.png" for number in range(40)))
    program = f"""
import sys
from functools import partial
from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.cli import caption_run
from qwen3vl_edge.cli.main import run
command = [sys.executable, '-P', {str(WORKER)!r}, '--notes', {str(tmp_path)!r}, '--slow-s', '0.1']
caption_run.Supervisor = partial(Supervisor, command=command)
run()
"""
    command = [
        sys.executable,
        "-c",
        program,
        "caption",
        "demo",
        folder,
        "--prompt",
        "{stem}",
        "--parallel",
        "1",
    ]
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[2])}
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for _ in range(600):
        if list(folder.glob("*.txt")):
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    n_kept = len(texts(folder))
    assert running.returncode == 130, said
    assert 0 < n_kept < 40
    assert said.splitlines()[-1] == "qwen3vl-edge: interrupted"
    assert f"stopped: {n_kept} captions are kept; the same command goes on from there" in said
    again = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{40 - n_kept} captioned" in again.stderr
    assert texts(folder) == {f"{number:02}.txt": f"a caption of {number:02}" for number in range(40)}


def test_two_runs_on_one_folder_do_not_fight(call: Call, opened: Opened, folder: Path) -> None:
    with locked(places_to_lock([folder], [], None, sidecars=True)):
        code, _, err = call("demo", folder)
    assert code == 1
    assert "another run writes here" in err
    assert not opened.settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to caption; name pictures, clips or folders, or a list with --from-file"),
        (("absent",), "no such file or folder: absent"),
        (("README.md", "--prompt", ""), "question is empty"),
        (("README.md", "--prompt", "{what}"), "unknown field {what}; known are {name}"),
        (("README.md", "--prompt", "a } b"), "a lone }"),
        (("README.md", "--prompt", "a=x", "--prompt", "a=y"), "two prompts are named 'a'"),
        (("README.md", "--preset", "long"), "no preset 'long'"),
        (("README.md", "--preset", "json", "--schema", "name"), "--schema and --preset json"),
        (("README.md", "--schema", "name {"), "schema"),
        (("README.md", "--tags-from", ".tags"), "--tags-from is about prompts that name {tags}"),
        (("README.md", "--prompt", "{tags}", "--tags-from", "tags"), "'tags' is no suffix"),
        (
            ("README.md", "--schema", "name", "--trigger", "cat"),
            "--trigger: answers in JSON stay as they are",
        ),
        (("README.md", "--preset", "json", "--max-words", "5"), "--max-words: answers in JSON stay"),
        (("README.md", "--parallel", "129"), "--parallel '129': give auto, or a number from 1 to 128"),
        (("README.md", "--strip", " "), "phrase to strip is empty"),
        (
            ("README.md", "-o", "captions.parquet"),
            "captions.parquet: of no known kind; name it .jsonl or .csv",
        ),
        (("README.md", "-o", "a.csv", "-o", "./a.csv"), "names a file twice"),
        (("README.md", "--mode", "append"), "--mode: captions are only printed"),
        (("README.md", "--retry-failed"), "--retry-failed: captions are only printed"),
        (("README.md", "--separator", "; "), "--separator is about --mode append and prepend"),
        (("README.md", "--sidecar", "txt"), "'txt' is no suffix"),
        (("README.md", "--include", "!x"), "--include '!x' fits nothing"),
        (("README.md", "--null"), "--null is about the list of --from-file"),
        (("--from-file", "absent.txt"), "no such file: absent.txt"),
        (("README.md", "--max-pixels", "many"), "--max-pixels 'many' is no number"),
        (("README.md", "--max-bytes", "many"), "'many' is no size"),
        (("README.md", "--parallel", "0"), "--parallel '0': give auto, or a number from 1 to 128"),
        (("README.md", "--item-timeout", "0"), "an item cannot take 0 s"),
        (("README.md", "--min-tokens", "9", "--max-tokens", "3"), "cannot have 9 to 3 tokens"),
        (("README.md", "--frames", "4", "--fps", "2"), "--fps and --frames cannot both"),
        (("README.md", "--start", "5", "--end", "2"), "nothing from 5 s to 2 s"),
        (("README.md", "--temperature", "-1"), "out of range: temperature"),
        (("README.md", "--media-cache-size", "1G"), "--media-cache-size needs --media-cache"),
        (("README.md", "--events", "absent/x"), "--events absent/x: cannot be written"),
        (("README.md", "--log", "absent/x"), "--log absent/x: cannot be written"),
    ],
)
def test_wrong_calls_are_one_line_before_any_model_is_opened(
    call: Call, opened: Opened, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = call("demo", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert not opened.settings


def test_folders_without_pictures_are_told(call: Call, opened: Opened, tmp_path: Path) -> None:
    put_pictures(tmp_path / "empty", "sub/a.jpg")
    code, _, err = call("demo", tmp_path / "empty")
    assert code == 2
    assert "no pictures and no clips in" in err
    assert "--recursive looks into sub-folders too" in err
    assert call("demo", tmp_path / "empty", "-r", "--exclude", "sub/")[0] == 2
    (tmp_path / "list").write_text("")
    assert call("demo", "--from-file", tmp_path / "list", "-o", tmp_path / "x.jsonl")[0] == 0


def test_a_damaged_model_is_told_before_the_run(
    call: Call, opened: Opened, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_model(*_: object) -> None:
        raise GGUFError("model.gguf: damaged")

    monkeypatch.setattr(options, "find_model", find_model)
    assert call("m", folder) == (1, "", "qwen3vl-edge: error: model.gguf: damaged\n")
    assert not list(folder.glob(".*"))


def test_an_engine_that_cannot_open_the_model_ends_the_run(call: Call, opened: Opened, folder: Path) -> None:
    opened.options = ("--opening", "damaged")
    code, _, err = call("demo", folder)
    assert code == 1
    assert err.splitlines()[-1] == "qwen3vl-edge: error: model.gguf is damaged"
    assert "the same command goes on from there" in err


def test_help_has_sections_and_the_library_s_defaults(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    plain = " ".join(out.split())
    for title in (
        "Which files:",
        "What is asked:",
        "How captions are worded:",
        "Where captions go:",
        "Clips:",
    ):
        assert title in plain
    assert DEFAULT_PROMPT.picture in plain
    assert DEFAULT_PROMPT.clip in plain
    assert f"[default: {MediaLimits().max_pixels}]" in plain
    asked, worded, trigger = map(
        plain.index, ("What is asked:", "How captions are worded:", "--trigger TEXT")
    )
    assert asked < worded < trigger


def test_the_worker_is_told_how_few_files_there_are(call: Call, opened: Opened, tmp_path: Path) -> None:
    folder = put_pictures(tmp_path, *(f"{number}.png" for number in range(33)))
    assert call("demo", folder / "1.png", folder / "2.png")[0] == 0
    assert call("demo", folder)[0] == 0
    (folder / "32.png").unlink()
    assert call("demo", folder)[0] == 0
    assert [settings.n_files for settings in opened.settings] == [2, None, 32]
