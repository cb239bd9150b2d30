import os
import socket
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwen3vl_edge.captions.files import Wanted, find
from qwen3vl_edge.captions.listed import listed_paths
from qwen3vl_edge.errors import UsageError
from tests.test_video import write_clip

JPEG = b"\xff\xd8\xff\xe0 and so on"
ALL = Wanted(recursive=True)


def put(root: Path, *names: str, content: bytes = JPEG) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def names(root: Path, wanted: Wanted = ALL) -> list[str]:
    return [str(item.path.relative_to(root)) for item in find([root], wanted)]


def test_a_folder_s_files_come_sorted_and_before_those_of_its_folders(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a/z.jpg", "c.jpg", "a/b/x.jpg", "B.jpg", "d/y.jpg")
    assert names(tmp_path) == ["B.jpg", "b.jpg", "c.jpg", "a/z.jpg", "a/b/x.jpg", "d/y.jpg"]
    assert names(tmp_path, Wanted()) == ["B.jpg", "b.jpg", "c.jpg"]


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "picture", "PNG")
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.txt", "WEBP")
    write_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "film.jpg")
    put(tmp_path, "notes.txt", "code.ts", content=b"Good morning. P5 is no picture, BM neither.")
    put(tmp_path, "empty.txt", content=b"")
    found = {item.path.name: item.kind for item in find([tmp_path])}
    assert found == {"picture": "picture", "picture.txt": "picture", "film.jpg": "clip"}


def test_what_only_claims_to_be_a_picture_or_a_clip_is_taken_to_be_named(tmp_path: Path) -> None:
    put(tmp_path, "a.PNG", "b.mkv", "c.heic", content=b"neither")
    put(tmp_path, "d.jpg", content=b"")
    found = {item.path.name: item.kind for item in find([tmp_path])}
    assert found == {"a.PNG": "picture", "b.mkv": "clip", "c.heic": "picture", "d.jpg": "picture"}


def test_raw_files_and_sound_are_passed_over_unless_named(tmp_path: Path) -> None:
    put(tmp_path, "a.NEF", content=b"II*\0 a thumbnail")
    put(tmp_path, "b.m4a", content=b"\0\0\0\x20ftypM4A sound")
    put(tmp_path, "c.mka", content=b"\x1a\x45\xdf\xa3 sound")
    assert names(tmp_path) == []
    assert [item.kind for item in find([tmp_path / "a.NEF", tmp_path / "c.mka"])] == ["picture", "clip"]


def test_size_and_time_are_the_file_s(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(1, 1_234_567_890_123_456_700))
    [item] = find([tmp_path])
    assert (item.n_bytes, item.modified_ns) == (len(JPEG), 1_234_567_890_123_456_700)


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*.jpg",), (), ["a.jpg", "raw/b.jpg", "x/raw/d.jpg", "x/y/e.jpg"]),
        ((), ("raw/",), ["a.jpg", "c.png", "x/y/e.jpg"]),
        (("/*.jpg",), (), ["a.jpg"]),
        (("x/**/*.jpg",), (), ["x/raw/d.jpg", "x/y/e.jpg"]),
        (("*.jpg",), ("x/y", "a.*"), ["raw/b.jpg", "x/raw/d.jpg"]),
        (("raw/",), ("b.jpg",), ["x/raw/d.jpg"]),
    ],
)
def test_patterns_are_those_of_gitignore(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]
) -> None:
    put(tmp_path, "a.jpg", "c.png", "raw/b.jpg", "x/raw/d.jpg", "x/y/e.jpg")
    assert names(tmp_path, Wanted(True, include, exclude)) == expected


@pytest.mark.parametrize("pattern", ["", "# remark", "!x", "a//**b\\", "/"])
def test_patterns_that_fit_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"--exclude .* \.gitignore|--exclude .* without !"):
        Wanted(exclude=(pattern,))


def test_files_named_outright_come_whatever_they_are(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt", content=b"notes")
    put(tmp_path, ".hidden.jpg")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    paths = [tmp_path / "notes.txt", tmp_path / ".hidden.jpg", tmp_path / "gone.mp4"]
    found = list(find(paths, Wanted(include=("*.png",), exclude=("*",))))
    assert [item.path for item in found] == paths
    assert [(item.kind, item.n_bytes) for item in found] == [
        ("picture", 5),
        ("picture", len(JPEG)),
        ("clip", 0),
    ]


def test_what_is_missing_is_said_before_the_first_item(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder: .*absent"):
        find([tmp_path, tmp_path / "absent"])
    [item] = find([tmp_path / "absent.avi"], must_exist=False)
    assert (item.kind, item.n_bytes, item.modified_ns) == ("clip", 0, 0)


def test_no_file_comes_twice_and_links_in_circles_end(tmp_path: Path) -> None:
    put(tmp_path, "a/b/1.jpg", "a/2.jpg", "c/3.jpg")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "c/again").symlink_to(tmp_path / "a/b", target_is_directory=True)
    (tmp_path / "c/self").symlink_to(tmp_path / "c/self")
    (tmp_path / "c/link.jpg").symlink_to(tmp_path / "a/2.jpg")  # another name: a caption of its own
    roots = [tmp_path / "a/b", tmp_path / "a", tmp_path, tmp_path / "a" / ".." / "c"]
    found = [os.path.realpath(item.path.parent) + "/" + item.path.name for item in find(roots, ALL)]
    assert len(found) == len(set(found)) == 4


def test_a_file_named_before_or_behind_its_folder_comes_once(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg", "sub/3.jpg")
    (tmp_path / "other").symlink_to(tmp_path / "sub", target_is_directory=True)
    put(tmp_path, "notes.txt", content=b"notes")
    one, notes, three = tmp_path / "1.jpg", tmp_path / "notes.txt", tmp_path / "other/3.jpg"
    first = [item.path.name for item in find([one, notes, three, tmp_path, one], ALL)]
    assert first == ["1.jpg", "notes.txt", "3.jpg", "2.jpg"]
    last = [item.path.name for item in find([tmp_path, one, three, notes], ALL)]
    assert last == ["1.jpg", "2.jpg", "3.jpg", "notes.txt"]
    left_out = Wanted(True, exclude=("1.*",))
    assert [item.path.name for item in find([tmp_path, one], left_out)] == ["2.jpg", "3.jpg", "1.jpg"]


def test_pipes_sockets_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, ".a.jpg", ".git/b.jpg", "c.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
        assert names(tmp_path) == ["c.jpg"]
    [item] = find([tmp_path / "pipe.jpg"])
    assert item.n_bytes == 0


def test_names_that_are_no_text_and_folders_too_deep_to_recurse(tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    strange.write_bytes(JPEG)
    assert [item.path for item in find([tmp_path])] == [strange]
    deep = tmp_path / "deep"
    for _ in range(600):
        deep = deep / "d"
    deep.mkdir(parents=True)
    put(deep, "x.jpg")
    assert [item.path.name for item in find([tmp_path / "deep"], ALL)] == ["x.jpg"]


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.jpg" for number in range(5)), "sub/x.jpg")
    found = find([tmp_path], ALL)
    assert next(found).path.name == "0.jpg"
    (tmp_path / "2.jpg").unlink()
    (tmp_path / "sub/x.jpg").unlink()
    (tmp_path / "sub").rmdir()
    assert [item.path.name for item in found] == ["1.jpg", "3.jpg", "4.jpg"]


def test_links_that_lead_nowhere_are_taken_to_be_named(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    for name in ("b.jpg", "notes.txt"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    (tmp_path / "c.mp4").symlink_to(tmp_path / "c.mp4")
    found = {item.path.name: (item.kind, item.n_bytes) for item in find([tmp_path])}
    assert found == {"a.jpg": ("picture", len(JPEG)), "b.jpg": ("picture", 0), "c.mp4": ("clip", 0)}


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg", "locked/b.jpg", "z/c.jpg")
    scandir = os.scandir

    def locked(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)  # root may read everything
    told: list[str] = []
    found = [item.path.name for item in find([tmp_path], ALL, unreadable=told.append)]
    assert found == ["a.jpg", "c.jpg"]
    assert told == [f"{tmp_path}/locked: cannot be listed (Permission denied)"]


def test_memory_is_that_of_one_folder(tmp_path: Path) -> None:
    for folder in range(40):
        put(tmp_path, *(f"{folder}/{number}.jpg" for number in range(100)))
    found = find([tmp_path], ALL)
    next(found)
    tracemalloc.start()
    try:
        n_files = sum(1 for _ in found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_files == 3999
    assert peak < 150_000  # all items together would be a megabyte


def test_lists_are_read_as_tar_reads_them() -> None:
    assert list(listed_paths(BytesIO(b"a.jpg\r\n\n my file \n/x/y"), "list")) == [
        Path("a.jpg"),
        Path(" my file "),
        Path("/x/y"),
    ]
    ended = BytesIO(b"a\nb.jpg\0caf\xe9\0\0last")
    assert [os.fsencode(path) for path in listed_paths(ended, "list", null=True)] == [
        b"a\nb.jpg",
        b"caf\xe9",
        b"last",
    ]


def test_lists_of_the_other_kind_are_told() -> None:
    with pytest.raises(UsageError, match="list.txt: has NUL bytes; --null"):
        list(listed_paths(BytesIO(b"a\0b\0"), "list.txt"))
    with pytest.raises(UsageError, match="no list of paths"):
        list(listed_paths(BytesIO(b"x" * 200_000), "list.txt"))


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name)))
@settings(max_examples=50)
def test_any_name_survives_a_list_with_nul_bytes(written: list[bytes]) -> None:
    read = listed_paths(BytesIO(b"\0".join(written)), "list", null=True)
    assert [os.fsencode(path) for path in read] == [os.fsencode(Path(os.fsdecode(name))) for name in written]
