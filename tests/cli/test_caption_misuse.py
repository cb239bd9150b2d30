"""`caption` called in ways that would destroy something, or that nobody can have meant."""

import os
import threading
from pathlib import Path

import pytest

from tests.calls import Call, calling
from tests.cli.caption_cases import Opened, put_pictures, scripted


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return calling(monkeypatch, capsys, "caption")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return put_pictures(tmp_path / "pictures", "a.jpg", "a.png")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Opened:
    (tmp_path / "notes").mkdir()
    return scripted(monkeypatch, tmp_path / "notes")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "x.jsonl", "--journal", "./x.jsonl"), "-o and --journal both write to x.jsonl"),
        (("-o", "x.csv", "--log", "x.csv"), "-o and --log both write to x.csv"),
        (("-o", "x.csv", "--events", "x.csv"), "-o and --events both write to x.csv"),
        (("--log", "x", "--events", "x"), "--log and --events both write to x"),
        (("--max-pixels", "0"), "refuse every picture"),
        (("--max-bytes", "0"), "refuse every picture"),
        (("--sidecar", ".jpg", "--mode", "overwrite"), "'.jpg' is a suffix of pictures and clips"),
    ],
)
def test_refused_before_anything_is_written(
    arguments: tuple[str, ...], said: str, call: Call, folder: Path
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    code, _, err = call("demo", folder, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
    assert {path: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")} == before
    assert not list(folder.parent.glob("x*"))


def test_a_list_that_is_none_is_said_once(
    call: Call, opened: Opened, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    code, _, err = call("demo", "--from-file", folder / "a.png", "-o", "x.jsonl")
    assert code == 2
    assert err.count("a.png: has NUL bytes; --null reads lists whose paths they end") == 1
    assert not failed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="as of --from-file <(find …)")
def test_a_list_from_a_pipe(call: Call, opened: Opened, folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(f"{folder / 'a.png'}\n",), daemon=True)
    writer.start()
    code, out, _ = call("demo", "--from-file", pipe, "-o", "-", "--prompt", "{stem}")
    assert (code, out) == (0, f"{folder / 'a.png'}: a caption of a\n")
    writer.join(10)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("option", ["--log", "--events"])
def test_a_log_that_cannot_be_written_is_named(option: str, call: Call, opened: Opened, folder: Path) -> None:
    code, _, err = call("demo", folder / "a.png", "-o", "x.jsonl", option, "/dev/full")
    assert code == 1
    assert "error: /dev/full: cannot be written (No space left on device); once it can" in err
    assert call("demo", folder / "a.png", "-o", "x.jsonl")[0] == 0
