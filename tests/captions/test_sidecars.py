import errno
import os
from pathlib import Path

import pytest

from qwen3vl_edge.captions.sidecars import holding, read_sidecar, sidecar_of, sync_files, write_sidecar
from qwen3vl_edge.errors import JournalError, MediaError


def _fail_with(number: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_its_name_is_that_of_the_picture() -> None:
    assert sidecar_of(Path("x/a.b.jpg"), ".txt") == Path("x/a.b.txt")
    assert sidecar_of(Path("a"), ".caption") == Path("a.caption")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "nothing"),
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b"\xef\xbb\xbf\n", "empty"),
        (b"a", "caption"),
        (b"\xff\xfe", "caption"),
        (b"x" * (3 << 20), "caption"),
    ],
)
def test_what_it_holds(content: bytes | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    assert holding(path) == expected


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert read_sidecar(path) == ""
    path.write_bytes("\ufeffgrün\n".encode())
    assert read_sidecar(path) == "grün\n"


@pytest.mark.parametrize(("content", "said"), [(b"\xff\xfea", "not UTF-8"), (b"x" * (3 << 20), "larger")])
def test_what_is_no_caption_is_not_read(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=said):
        read_sidecar(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(MediaError, match="not a regular file"):
        holding(tmp_path / "a.txt")


def test_writing_keeps_the_mode_and_follows_links(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "a.txt").symlink_to(real)
    write_sidecar(tmp_path / "a.txt", b"new")
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.txt").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_file_is_as_open_as_others(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    write_sidecar(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_a_killed_run_left_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", end)
        with pytest.raises(KeyboardInterrupt):
            write_sidecar(tmp_path / "a.txt", b"half")
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    write_sidecar(tmp_path / "a.txt", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("call", ["pathlib.Path.open", "pathlib.Path.replace"])
@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, JournalError), (errno.EROFS, JournalError), (errno.EACCES, MediaError)],
)
def test_what_fails_leaves_all_as_it_was(
    call: str, number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(call, _fail_with(number))
        with pytest.raises(error, match=r"a\.txt: cannot be written"):
            write_sidecar(path, b"new")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_syncing_passes_over_what_is_gone_and_tells_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    sync_files([tmp_path / "gone" / "b.txt", path])
    monkeypatch.setattr(os, "fsync", _fail_with(errno.EIO))
    with pytest.raises(JournalError, match=r"a\.txt: cannot be written"):
        sync_files([path])


def test_a_name_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".txt")
    write_sidecar(path, b"new")
    assert path.read_bytes() == b"new"
