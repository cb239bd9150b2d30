import os
from pathlib import Path

import pytest

from qwen3vl_edge.errors import CheckpointError, GGUFError, UsageError
from qwen3vl_edge.input_files import check_folder, file_size, read_bytes

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert file_size(path, GGUFError) == 5
    assert read_bytes(path, 5, GGUFError) == b"12345"
    with pytest.raises(GGUFError, match="x: 5 bytes are more than the 4 allowed"):
        read_bytes(path, 4, GGUFError)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_files_without_a_size_are_bounded_too() -> None:
    assert file_size(Path("/proc/self/maps"), GGUFError) == 0
    with pytest.raises(GGUFError, match="more than the 10 allowed"):
        read_bytes(Path("/proc/self/maps"), 10, GGUFError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        for read in (lambda path: file_size(path, GGUFError), lambda path: read_bytes(path, 5, GGUFError)):
            with pytest.raises(GGUFError, match="not a regular file"):
                read(path)


def test_a_sound_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "same.json").symlink_to("config.json")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "elsewhere.png").symlink_to("/etc/passwd")  # not a file that would be opened
    assert check_folder(tmp_path) == {"config.json", "same.json", "pictures", "elsewhere.png"}
    (tmp_path / "link").symlink_to(".")
    assert "config.json" in check_folder(tmp_path / "link")


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("absent", "no such file or folder; give a checkpoint folder, or ORG/NAME"),
        ("absent.gguf", "no such file or folder"),
        ("file", "not a checkpoint folder"),
        ("file.gguf", "a GGUF file, which is converted already; `quantize`"),
        ("x" * 5000, "not a checkpoint folder"),
        ("a\0b", "not a checkpoint folder"),
    ],
)
def test_what_is_no_folder(tmp_path: Path, folder: str, why: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "file.gguf").write_text("x")
    with pytest.raises(UsageError, match=why):
        check_folder(tmp_path / folder)


def test_a_bundle_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "demo-F16.gguf").write_text("x")
    with pytest.raises(UsageError, match="a bundle, which is converted already; `quantize`"):
        check_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")  # a bundle written beside its checkpoint
    assert check_folder(tmp_path) == {"demo-F16.gguf", "config.json"}


def test_links_of_a_hub_cache(tmp_path: Path) -> None:
    """One file is a blob of its repository, one a blob that repositories share."""
    repo = tmp_path / "models--Org--Name"
    shared, blobs, snapshot = tmp_path / "blobs" / "ab", repo / "blobs", repo / "snapshots" / COMMIT
    for made in (shared, blobs, snapshot):
        made.mkdir(parents=True)
    (blobs / "111").write_text("{}")
    (shared / "222").write_text("{}")
    (blobs / "222").symlink_to("../../blobs/ab/222")
    for name in ("111", "222"):
        (snapshot / f"{name}.json").symlink_to(f"../../blobs/{name}")
    assert check_folder(snapshot) == {"111.json", "222.json"}
    (snapshot / "README.md").symlink_to("../../refs")
    (repo / "refs").write_text("x")
    with pytest.raises(CheckpointError, match=r"'README\.md' is a link out of the folder"):
        check_folder(snapshot)


def test_a_blobs_folder_alone_is_no_cache(tmp_path: Path) -> None:
    folder = tmp_path / "repo" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (tmp_path / "repo" / "blobs").mkdir()
    (tmp_path / "repo" / "blobs" / "1").write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/1")
    with pytest.raises(CheckpointError, match="is a link out of the folder"):
        check_folder(folder)


def test_every_fault_of_a_folder_in_one_line(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.json").symlink_to(outside)
    (folder / "b.json").symlink_to("nowhere.json")
    (folder / "c.json").symlink_to("c.json")
    (folder / "d.safetensors").mkdir()
    (folder / "two\nlines.md").mkdir()
    with pytest.raises(CheckpointError) as caught:
        check_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"'a.json' is a link out of the folder, to '{outside.resolve()}'",
        "'b.json' is a link that leads nowhere",
        "'c.json' is a link that leads nowhere",
        "'d.safetensors' is not a regular file",
        r"'two\nlines.md' is not a regular file",
    ):
        assert part in message


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(CheckpointError, match=r"'config\.json' cannot be read \(Permission denied\)"):
        check_folder(tmp_path)
