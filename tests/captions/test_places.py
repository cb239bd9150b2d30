import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3vl_edge.captions.places import journal_place, locked, places_to_lock
from qwen3vl_edge.errors import JournalError

_HOLD = """
import sys
from pathlib import Path
from qwen3vl_edge.captions.places import locked
with locked([Path(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""


def _holder(place: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_journal_lies_beside_what_is_written(tmp_path: Path) -> None:
    picture, out = tmp_path / "a.jpg", tmp_path / "x" / "out.jsonl"
    assert journal_place([tmp_path], [out], sidecars=True) == tmp_path / "x" / "out.jsonl.journal"
    assert journal_place([tmp_path], [], sidecars=True) == tmp_path / ".qwen3vl-edge.journal"
    assert journal_place([picture], [], sidecars=True) == tmp_path / ".qwen3vl-edge.journal"
    assert journal_place([tmp_path], [], sidecars=False) is None
    assert journal_place([tmp_path], [out], sidecars=True, wanted=picture) == picture


def test_all_that_is_written_is_locked(tmp_path: Path) -> None:
    out, journal = tmp_path / "out.csv", tmp_path / "j"
    assert places_to_lock([tmp_path / "p" / "a.jpg"], [out], journal, sidecars=True) == [
        tmp_path / "j.lock",
        tmp_path / "out.csv.lock",
        tmp_path / "p" / ".qwen3vl-edge.lock",
    ]
    assert places_to_lock([tmp_path], [], None, sidecars=False) == []


def test_the_second_run_is_told_who_is_first(tmp_path: Path) -> None:
    place = tmp_path / "j.lock"
    with _holder(place) as process:
        with (
            pytest.raises(JournalError, match=rf"another run .*process {process.pid} on .*, since \d{{4}}-"),
            locked([tmp_path / "other.lock", place]),
        ):
            pass
        assert not (tmp_path / "other.lock").exists()
        process.communicate()
    assert not place.exists()
    with locked([place]):
        assert str(os.getpid()) in place.read_text()


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    place = tmp_path / "j.lock"
    with _holder(place) as process:
        process.kill()
        process.wait()
        assert place.exists()
        with locked([place]):
            pass


def test_no_folder_is_made_for_a_lock(tmp_path: Path) -> None:
    with (
        pytest.raises(JournalError, match="no such folder; make it first"),
        locked([tmp_path / "no" / "j.lock"]),
    ):
        pass
