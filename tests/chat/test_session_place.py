"""Session files on the disk: whole or not at all, private, and never over another program's turns."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qwen3vl_edge.chat import Conversation, load_session, save_session
from qwen3vl_edge.chat.session_file import open_session
from qwen3vl_edge.chat.session_place import NO_FILE, check_place
from qwen3vl_edge.errors import SessionError
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY

OPTIONS = GenerateOptions(GREEDY)


def said(answer: str) -> Conversation:
    conversation = Conversation(ScriptedEngine(lambda _: answer), GenerateOptions(GREEDY, 1 << 16))
    for _ in conversation.ask("?"):
        pass
    return conversation


def answers(path: Path) -> list[str]:
    return [turn.answer for turn in load_session(path, ScriptedEngine(lambda _: ""), OPTIONS)[0].turns]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_session(said("old"), tmp_path / "talk.q3vl")
    return tmp_path / "talk.q3vl"


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_or_is_interrupted_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(_descriptor: int) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises((SessionError, KeyboardInterrupt)) as caught:
            save_session(said("new"), path)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert answers(path) == ["old"]
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_is_private_and_an_old_one_keeps_its_mode(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    save_session(said("new"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_followed_and_stays(path: Path) -> None:
    link, future = path.with_name("link.q3vl"), path.with_name("future.q3vl")
    link.symlink_to(path)
    save_session(said("new"), link)
    assert link.is_symlink()
    assert answers(path) == ["new"]
    (dangling := path.with_name("dangling.q3vl")).symlink_to(future)
    save_session(said("new"), dangling)
    assert answers(future) == ["new"]


def test_another_program_s_turns_are_not_overwritten(path: Path) -> None:
    opened = open_session(path, ScriptedEngine(lambda _: ""))
    save_session(said("theirs"), path)
    with pytest.raises(SessionError, match="was changed by another program since it was opened"):
        save_session(opened.conversation, path, replaces=opened.stamp)
    assert answers(path) == ["theirs"]
    assert list(path.parent.iterdir()) == [path]
    save_session(said("ours"), path, replaces=open_session(path, ScriptedEngine(lambda _: "")).stamp)
    save_session(said("anything"), path)


def test_a_file_that_came_or_went_meanwhile_is_noticed(path: Path) -> None:
    with pytest.raises(SessionError, match="was changed"):
        save_session(said("ours"), path, replaces=NO_FILE)
    opened = open_session(path, ScriptedEngine(lambda _: ""))
    path.unlink()
    with pytest.raises(SessionError, match="was changed"):
        save_session(opened.conversation, path, replaces=opened.stamp)
    save_session(said("ours"), path, replaces=NO_FILE)


def test_those_that_save_at_once_leave_a_whole_file(path: Path) -> None:
    def save(answer: str) -> None:
        conversation = said(answer)
        for _ in range(25):
            save_session(conversation, path)

    with ThreadPoolExecutor(2) as pool:
        saving = [pool.submit(save, "a" * 20_000), pool.submit(save, "b" * 10)]
        seen = []
        while not all(done.done() for done in saving):
            seen += [answer[:1] for answer in answers(path)]
        for done in saving:
            done.result()
    assert set(seen) <= {"o", "a", "b"}
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_takes_no_file_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SessionError, match="its folder is not there; make it first"):
        check_place(tmp_path / "nowhere" / "talk.q3vl")
    with pytest.raises(SessionError, match="not a regular file"):
        check_place(tmp_path)
    with pytest.raises(SessionError, match="cannot be written .*name too long"):
        check_place(tmp_path / ("x" * 300))
    with pytest.raises(SessionError, match="cannot be written .*null"):
        check_place(tmp_path / "a\0b")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(SessionError, match="cannot be written .Permission denied"):
        check_place(tmp_path / "talk.q3vl")


def test_looking_at_a_place_changes_nothing(path: Path) -> None:
    before = path.stat()
    check_place(path)
    check_place(path.with_name("new.q3vl"))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_regular_file_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SessionError, match="not a regular file"):
        load_session(tmp_path / "pipe", ScriptedEngine(lambda _: ""), OPTIONS)
    with pytest.raises(SessionError, match="not a regular file"):
        save_session(said("new"), tmp_path / "pipe")
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]
