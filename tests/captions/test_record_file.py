import csv
import errno
import json
import os
from pathlib import Path

import pytest

from qwen3vl_edge.captions.dead_lines import DeadLines
from qwen3vl_edge.captions.record import COLUMNS, Format
from qwen3vl_edge.captions.record_file import RecordFile
from qwen3vl_edge.captions.run_events import Noted
from qwen3vl_edge.errors import JournalError
from tests.captions.run_cases import Case, items_in, settings_for, write_pictures

FORMATS = pytest.mark.parametrize("form", ["jsonl", "csv"])
_NAMES = [f"{n:02}.jpg" for n in range(8)]


def captions_in(path: Path) -> list[tuple[str, str]]:
    """Give name and caption, or error, of each record."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [json.loads(row) for row in file] if path.suffix == ".jsonl" else list(csv.DictReader(file))
    return [(Path(row["path"]).name, row.get("caption") or row["error"]) for row in rows]


def _case(tmp_path: Path, form: Format, names: list[str] = _NAMES) -> tuple[Case, Path]:
    write_pictures(tmp_path / "p", names)
    out = tmp_path / f"out.{form}"
    return Case(tmp_path / "p", None, [(out, form)], tmp_path / "journal"), out


def _expected(prompt: str) -> list[tuple[str, str]]:
    return [(name, f"{prompt} {name}") for name in _NAMES]


@FORMATS
def test_one_record_an_item(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form)
    assert case.run().done == 8
    assert captions_in(out) == _expected("Describe.")
    assert case.run().skipped == {"done before": 8}
    assert captions_in(out) == _expected("Describe.")


@FORMATS
def test_overwriting_leaves_one_record_an_item(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form)
    case.run(items=items_in(tmp_path / "p"))
    case.run(settings_for("New", mode="overwrite"), items_in(tmp_path / "p")[::2])
    assert sorted(captions_in(out)) == sorted(
        (name, f"{'Describe.' if n % 2 else 'New'} {name}") for n, name in enumerate(_NAMES)
    )
    case.run(settings_for("More", mode="append"))  # reads what stands at the places that have moved
    assert sorted(captions_in(out)) == sorted(
        (name, f"{'Describe.' if n % 2 else 'New'} {name}, More {name}") for n, name in enumerate(_NAMES)
    )


@FORMATS
def test_a_success_replaces_the_failure_and_no_failure_a_caption(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form, ["a.jpg", "bad.jpg"])
    assert case.run().failed == 1
    assert [name for name, _ in captions_in(out)] == ["a.jpg", "bad.jpg"]
    case.fails = lambda path: path.name == "a.jpg"
    summary = case.run(settings_for("New", mode="overwrite", retry_failed=True))
    assert (summary.done, summary.failed) == (1, 1)
    assert captions_in(out) == [("a.jpg", "Describe. a.jpg"), ("bad.jpg", "New bad.jpg")]


@FORMATS
def test_a_file_that_is_gone_is_written_again(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form)
    case.run()
    whole = out.read_bytes()
    out.unlink()
    summary = case.run()
    assert (summary.restored, case.asked) == (8, [])
    assert out.read_bytes() == whole
    assert any(isinstance(event, Noted) and "is gone" in event.text for event in case.events)


@FORMATS
def test_what_was_joined_is_written_again_as_it_was(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form)
    case.run()
    case.run(settings_for("More", mode="append"))
    whole = captions_in(out)
    assert whole[0][1] == "Describe. 00.jpg, More 00.jpg"
    case.run(settings_for("More", mode="append"))
    assert captions_in(out) == whole


@FORMATS
@pytest.mark.parametrize("change", [b"more\n", None])
def test_a_file_that_was_changed_is_left_alone(form: Format, change: bytes | None, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form)
    case.run()
    changed = out.read_bytes() + change if change else out.read_bytes()[:-9]
    out.write_bytes(changed)
    with pytest.raises(JournalError, match="changed by another program .*move it away to have all of it"):
        case.run()
    assert out.read_bytes() == changed


@FORMATS
def test_without_a_journal_what_the_file_holds_is_done(form: Format, tmp_path: Path) -> None:
    case, out = _case(tmp_path, form, ["a.jpg", "b.jpg", "bad.jpg"])
    case.answer = lambda request, prompt: f'{prompt}\nof "{request.path.name}"'
    case.run(items=items_in(tmp_path / "p")[:1] + items_in(tmp_path / "p")[2:])
    (tmp_path / "journal").unlink()
    case.run()
    assert sorted(case.asked) == ["b.jpg", "bad.jpg"]
    assert sorted(name for name, _ in captions_in(out)) == ["a.jpg", "b.jpg", "bad.jpg"]
    (tmp_path / "journal").unlink()
    case.run(settings_for("More", mode="append"))
    assert dict(captions_in(out))["a.jpg"] == 'Describe.\nof "a.jpg", More\nof "a.jpg"'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("out.jsonl", b'{"path": "a"}\n', "record 1: not a record"),
        ("out.jsonl", b'{"path": "a", "caption": "b"}\n{"path": "b", "cap', "record 2: cut off"),
        ("out.csv", b"file,text" + b"," * 200 + b"\r\n", "columns are not those"),
        ("out.csv", ",".join(COLUMNS).encode() + b"\r\na,b\r\n", "record 1: 2 columns"),
        ("out.csv", b"path,caption\r\n", "columns are not those"),
        ("out.csv", ",".join(COLUMNS).encode() + b'\r\n"a,b\r\n', "record 1: cut off|record 1: not CSV"),
    ],
)
def test_a_file_of_something_else_is_left_alone(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", ["a.jpg"])
    out = tmp_path / name
    out.write_bytes(content)
    form: Format = "csv" if name.endswith("csv") else "jsonl"
    case = Case(tmp_path / "p", None, [(out, form)], tmp_path / "journal")
    for _ in range(2):
        with pytest.raises(JournalError, match=f"{name}.*({said})"):
            case.run()
    assert out.read_bytes() == content


def test_a_line_that_was_torn_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, out = _case(tmp_path, "jsonl")
    write = os.write

    def torn(descriptor: int, content: bytes) -> int:
        n_bytes = write(descriptor, content[:100])
        raise KeyboardInterrupt if n_bytes else AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        with pytest.raises(KeyboardInterrupt):
            case.run()
    assert out.stat().st_size == 100
    assert case.run().is_whole
    assert captions_in(out) == _expected("Describe.")


def test_a_full_disk_stops_the_run_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, out = _case(tmp_path, "csv")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        original = Case.outcome

        def outcome(self: Case, request: object) -> object:
            if len(self.asked) == 4:
                patch.setattr(os, "write", full)
            return original(self, request)  # type: ignore[arg-type]

        patch.setattr(Case, "outcome", outcome)
        with pytest.raises(JournalError, match=r"out\.csv: cannot be written \(No space left"):
            case.run()
    case.run()
    assert captions_in(out) == _expected("Describe.")


@pytest.mark.parametrize("moment", ["before the swap", "before the rename", "after the rename"])
def test_a_tidying_that_was_killed_is_ended_by_the_next_run(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, out = _case(tmp_path, "jsonl")
    case.run()

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        match moment:
            case "before the swap":
                patch.setattr(DeadLines, "begin_swap", end)
            case "before the rename":
                patch.setattr(RecordFile, "_finish_swap", end)
            case _:
                patch.setattr(DeadLines, "end_swap", end)
        with pytest.raises(KeyboardInterrupt):
            case.run(settings_for("New", mode="overwrite"), items_in(tmp_path / "p")[:5])
    case.run(settings_for("New", mode="overwrite"))
    assert sorted(captions_in(out)) == _expected("New")
    assert not out.with_name(".out.jsonl.part").exists()
    case.run(settings_for("More", mode="append"))
    assert sorted(captions_in(out)) == [(name, f"New {name}, More {name}") for name in _NAMES]


def test_a_new_output_gets_what_the_journal_has(tmp_path: Path) -> None:
    case, _ = _case(tmp_path, "jsonl")
    case.run()
    case.files = [*case.files, (tmp_path / "more.csv", "csv")]
    case.sidecar = ".txt"
    summary = case.run()
    assert (summary.restored, case.asked) == (8, [])
    assert captions_in(tmp_path / "more.csv") == _expected("Describe.")
    assert len(case.texts()) == 8


def test_no_folder_and_no_pipe(tmp_path: Path) -> None:
    case = Case(tmp_path, None, [(tmp_path, "jsonl")], tmp_path / "journal")
    with pytest.raises(JournalError, match="not a regular file"):
        case.run()
