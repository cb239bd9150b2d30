import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3vl_edge.captions import outlet
from qwen3vl_edge.captions.modes import Mode
from qwen3vl_edge.errors import JournalError
from tests.captions.run_cases import Case, settings_for, write_pictures
from tests.captions.small_disk import small_disk_at
from tests.captions.test_record_file import captions_in

_NAMES = [f"{n:03}.jpg" for n in range(120)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four mebibytes; only root can make one."""
    with small_disk_at(tmp_path / "disk", 4 << 20) as disk:
        yield disk


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="tmpfs")
@pytest.mark.parametrize("mode", ["skip", "append"])
@pytest.mark.parametrize("room", [0, 8, 100, 200, 350, 500, 650, 800])
def test_a_full_disk_stops_the_run_and_the_next_one_ends_it(
    room: int, mode: Mode, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "_MOST_ITEMS", 5)
    write_pictures(small_disk / "p", _NAMES)
    case = Case(
        small_disk / "p",
        files=[(small_disk / "out.jsonl", "jsonl"), (small_disk / "out.csv", "csv")],
        journal=small_disk / "journal",
    )
    ballast = small_disk / "ballast"
    _fill(ballast, room << 10)
    with pytest.raises(JournalError, match=r"cannot be written|cannot be used"):
        case.run(settings_for("New", mode=mode))
    ballast.unlink()
    assert case.run(settings_for("New", mode=mode)).all_captioned
    expected = {name: f"New {name}" for name in _NAMES}
    for out, _ in case.files:
        found = captions_in(out)
        assert len(found) == len(_NAMES)
        assert dict(found) == expected
    assert {f"{stem}.jpg": text for stem, text in case.texts().items()} == expected
    assert not list(small_disk.rglob("*.part"))


def _fill(path: Path, but_bytes: int) -> None:
    """Take all room on the disk but `but_bytes`."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as file:
        file.write(bytes(max(0, free - but_bytes)))
