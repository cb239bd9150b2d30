import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.journal_database import SCHEMA_VERSION
from qwen3vl_edge.captions.journal_runs import begin_run, end_run, pace
from qwen3vl_edge.captions.keys import Keys
from qwen3vl_edge.captions.record import Caption, Record
from qwen3vl_edge.captions.values import Outcome
from qwen3vl_edge.errors import JournalError
from qwen3vl_edge.runtime.engine import Seconds
from tests.captions.run_cases import Case, item_of, settings_for, write_pictures


def _record(path: Path) -> Record:
    captions = (
        Caption("p", "Describe.", "raw", "text", "stop", 3),
        Caption("q", "Tags", "t", "t", "length", 9),
    )
    return Record(str(path), "done", captions, None, "demo", "Q8_0", "0.1.0", ("a note",), 64, 48, 1.5)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path / os.fsdecode(b"caf\xe9"), [os.fsdecode(b"\xff.jpg")])
    outcome = Outcome(0, "done", content_hash="ab", seconds=Seconds(0, 0.25, 0.5, 0.75))
    with Journal(tmp_path / "journal") as journal:
        begin_run(journal, settings_for())
        key = journal.keys.key(path)
        journal.put(key, item_of(path), outcome, _record(path), b"digest")
        journal.put(key, item_of(path), outcome, _record(path), b"digest")
        end_run(journal, is_whole=True)
    with Journal(tmp_path / "journal") as journal:
        assert journal.record(key) == _record(path)
        known = journal.find(key)
        assert known is not None
        assert (known.status, known.content_hash, known.digest, known.attempts) == (
            "done",
            "ab",
            b"digest",
            2,
        )
        assert known.has_captions
        assert journal.find(b"other") is None


def test_what_is_not_committed_is_not_kept(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["a.jpg"])
    with Journal(tmp_path / "journal") as journal:
        begin_run(journal, settings_for())
        journal.put(b"a.jpg", item_of(path), Outcome(0, "done"), _record(path), b"")
    with Journal(tmp_path / "journal") as journal:
        assert journal.find(b"a.jpg") is None


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        pragmas = [
            journal.database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert pragmas == ["wal", 2]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 50, b"\0" * 5000])
def test_what_is_no_journal_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="journal: no journal, or damaged .*move it away"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_damaged_journal_is_said_and_kept(tmp_path: Path) -> None:
    case = Case(tmp_path)
    write_pictures(tmp_path, [f"{n:03}.jpg" for n in range(200)])
    case.run()
    whole = case.journal_path.read_bytes()
    damaged = whole[:8192] + os.urandom(len(whole) - 8192)
    case.journal_path.write_bytes(damaged)
    with pytest.raises(JournalError, match="damaged"):
        case.run(settings_for("Other"))
    assert len(case.texts()) == 200


def test_another_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="no journal of captions"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_journal_of_the_future_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").close()
    with sqlite3.connect(tmp_path / "journal") as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(JournalError, match=f"version {SCHEMA_VERSION + 1}, and this program knows"):
        Journal(tmp_path / "journal")


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="not a regular file"):
        Journal(tmp_path)


def test_an_empty_file_becomes_one(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    Journal(tmp_path / "journal").close()
    assert (tmp_path / "journal").stat().st_size > 0


def test_only_one_has_it_open(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        begin_run(journal, settings_for())
        with pytest.raises(JournalError, match="in use by another run"):
            Journal(tmp_path / "journal")


def test_a_trial_changes_nothing(tmp_path: Path) -> None:
    case = Case(tmp_path)
    write_pictures(tmp_path, ["a.jpg"])
    assert case.forecast().pictures == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    case.run()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert case.forecast().skipped == {"done before": 1}
    assert case.forecast(settings_for(mode="overwrite")).pictures == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_trial_takes_in_what_a_killed_run_has_committed(tmp_path: Path) -> None:
    case = Case(tmp_path)
    write_pictures(tmp_path, ["a.jpg"])
    script = """
import os, sys
from pathlib import Path
from tests.captions.run_cases import Case, settings_for
case = Case(Path(sys.argv[1]))
journal = case.journal_path
from qwen3vl_edge.captions import run
run.end_run = lambda journal, is_whole: (journal.commit(), os._exit(9))
case.run()
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    assert case.journal_path.with_name(f"{case.journal_path.name}-wal").exists()
    assert case.forecast(settings_for(mode="overwrite")).skipped == {"done before": 1}


def test_the_pace_is_that_of_the_same_captions_else_of_the_same_model(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        assert pace(journal, settings_for()) is None
        for text, n_items, seconds in (("a", 10, 5.0), ("a", 20, 25.0), ("b", 1, 7.0)):
            begin_run(journal, settings_for(text))
            journal.begin()
            journal.database.execute(
                "UPDATE runs SET n_written = ?, started = 100, last = ? WHERE run = ?",
                (n_items, 100 + seconds, journal.run),
            )
        same, other = pace(journal, settings_for("a")), pace(journal, settings_for("c"))
        assert same is not None
        assert (same.n_items, same.seconds) == (30, 30.0)
        assert other is not None
        assert (other.n_items, other.seconds) == (31, 37.0)
        settings = settings_for("a")
        assert pace(journal, replace(settings, model=replace(settings.model, identity="other"))) is None


def test_keys_are_relative_and_see_through_links_of_folders(tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data" / "sub")
    keys = Keys(tmp_path / "data")
    assert keys.key(tmp_path / "data" / "sub" / "a.jpg") == b"sub/a.jpg"
    assert keys.key(tmp_path / "link" / "a.jpg") == b"sub/a.jpg"
    assert keys.key(tmp_path / "data" / "sub" / ".." / "b.jpg") == b"b.jpg"
    assert keys.key(tmp_path / "c.jpg") == b"../c.jpg"
    for key in (b"sub/a.jpg", b"../c.jpg"):
        assert keys.key(keys.path(key)) == key


def test_keys_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Keys(tmp_path).key(Path("a.jpg")) == b"a.jpg"
