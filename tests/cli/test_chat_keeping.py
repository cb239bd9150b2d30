"""What the chat keeps on the disk, and what it fetches."""

import os
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from qwen3vl_edge.chat import Conversation, History, Turn, load_session
from qwen3vl_edge.cli.terminal import fetching, keeper
from qwen3vl_edge.cli.terminal.fetching import fetch_picture
from qwen3vl_edge.cli.terminal.folders import private_file
from qwen3vl_edge.cli.terminal.keeper import Keeper, last_chat
from qwen3vl_edge.errors import MediaError, SessionError
from qwen3vl_edge.messages import Message
from qwen3vl_edge.paths import user_data_dir
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY
from tests.cli.chat_fakes import scripted_talk

SAMPLES = Path(__file__).parents[2] / "samples"
RED = (SAMPLES / "red_circle.png").read_bytes()


def said(*answers: str) -> Conversation:
    turns = tuple(Turn(Message("user", ("?",)), answer) for answer in answers)
    return Conversation(ScriptedEngine(lambda _: ""), GenerateOptions(GREEDY), history=History(turns))


def answers(path: Path) -> list[str]:
    conversation, _ = load_session(path, ScriptedEngine(lambda _: ""), GenerateOptions(GREEDY))
    return [turn.answer for turn in conversation.turns]


def test_each_chat_has_a_file_of_its_own(tmp_path: Path) -> None:
    chats = tmp_path / "chats"
    for number in range(3):
        Keeper(None, chats).keep(said(f"{number}"))
    Keeper(None, chats).keep(said())  # nothing was said
    assert sorted(answers(path)[0] for path in chats.iterdir()) == ["0", "1", "2"]
    newest = last_chat(chats)
    assert newest is not None
    assert answers(newest) == ["2"]
    before = last_chat(chats, other_than=newest)
    assert before is not None
    assert answers(before) == ["1"]
    assert last_chat(tmp_path / "nowhere") is None


def test_the_newest_fifty_are_kept(tmp_path: Path) -> None:
    for number in range(53):
        chat = Keeper(None, tmp_path)
        chat.keep(said(f"{number}"))
        assert chat.file is not None
        os.utime(chat.file, (number, number))
    kept = sorted(int(answers(path)[0]) for path in tmp_path.glob("*.q3vl"))
    assert kept == list(range(3, 53))


def test_a_chat_that_died_before_its_first_turn_is_not_the_last_one(tmp_path: Path) -> None:
    Keeper(None, tmp_path).keep(said("one"))
    keeper._reserve(tmp_path)
    newest = last_chat(tmp_path)
    assert newest is not None
    assert answers(newest) == ["one"]


@pytest.mark.parametrize("with_state", [True, False])
def test_the_state_is_kept_at_the_end_alone(tmp_path: Path, with_state: bool) -> None:
    chat = Keeper(tmp_path / "mine.q3vl", None, with_state=with_state)
    chat.keep(said("one"))
    assert b"state.bin" not in (tmp_path / "mine.q3vl").read_bytes()
    chat.finish(said("one"))
    assert (b"state.bin" in (tmp_path / "mine.q3vl").read_bytes()) == with_state


def test_what_another_program_has_written_meanwhile_stays(tmp_path: Path) -> None:
    file = tmp_path / "talk.q3vl"
    one, other = Keeper(file, None), Keeper(file, None)
    one.keep(said("a"))
    one.keep(said("a", "b"))
    with pytest.raises(SessionError, match="changed by another program"):
        other.keep(said("x"))
    assert answers(file) == ["a", "b"]
    other.go_on_in(file)
    other.keep(said("a", "b", "x"))
    with pytest.raises(SessionError, match="changed by another program"):
        one.finish(said("a", "b", "c"))
    assert answers(file) == ["a", "b", "x"]


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename is on the disk when the folder is."""
    synced: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd))
    )
    Keeper(tmp_path / "mine.q3vl", None).keep(said("one"))
    assert synced == [False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_what_was_typed_and_said_is_private(tmp_path: Path) -> None:
    history = tmp_path / "new" / "history"
    history.parent.mkdir()
    history.write_text("old")
    history.chmod(0o644)
    assert stat.S_IMODE(private_file(history).stat().st_mode) == 0o600
    assert history.read_text() == "old"
    Keeper(None, tmp_path / "chats").keep(said("secret"))
    assert stat.S_IMODE((tmp_path / "chats").stat().st_mode) == 0o700


def test_the_data_folder_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_data_dir() == tmp_path / "qwen3vl-edge"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_data_dir() == tmp_path / ".local/share/qwen3vl-edge"


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved.png":
            self.send_response(302)
            self.send_header("location", "/red.png")
            self.end_headers()
            return
        known = {
            "/red.png": ("image/png", RED),
            "/page.png": ("text/html; charset=utf-8", b"<html>"),
            "/large.png": ("image/png", RED * 10),
            "/drawing.png": ("image/svg+xml", b"<svg>"),
            "/none": ("", b""),
        }
        kind, body = known.get(self.path, ("", b""))
        self.send_response(200 if self.path in known else 404)
        if kind:
            self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["red.png", "moved.png"])
def test_a_picture_is_fetched(web: str, tmp_path: Path, name: str) -> None:
    path = fetch_picture(f"{web}/{name}", tmp_path / "media")
    assert (path.suffix, path.read_bytes()) == (".png", RED)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("page.png", "not a picture, but 'text/html'"),
        ("drawing.png", "not a picture, but 'image/svg+xml'"),
        ("none", "not a picture, but 'of an unknown type'"),
        ("missing.png", "the server answers HTTP 404; is the address right?"),
        ("large.png", "larger than "),
    ],
)
def test_what_is_no_picture_is_not(
    web: str, tmp_path: Path, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_LIMIT_BYTES", 2 * len(RED))
    with pytest.raises(MediaError) as caught:
        fetch_picture(f"{web}/{name}", tmp_path / "media")
    assert str(caught.value).startswith(f"{web}/{name}: {fault}")
    assert not (tmp_path / "media").exists()


def test_a_slow_server_is_given_up(web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_LIMIT_S", -1.0)
    with pytest.raises(MediaError, match="not there after"):
        fetch_picture(f"{web}/red.png", tmp_path)


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be fetched"):
        fetch_picture("http://127.0.0.1:9/a.png", tmp_path)


def test_an_address_in_a_message_becomes_a_picture(web: str, tmp_path: Path) -> None:
    talk = scripted_talk(tmp_path)
    shown = talk(f"{web}/red.png What is it?")
    assert shown[0] == f"note fetching {web}/red.png"
    assert talk.asked().endswith("#What is it?[assistant]")
    talk("/clear")
    assert talk("/load last")[-1].startswith("say > What is it?")  # the picture is still there
    assert talk(f"/video {web}/red.png") == ["fault clips are not fetched; save it and name the file"]
