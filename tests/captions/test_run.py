import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.modes import MODES, Mode
from qwen3vl_edge.captions.presets import preset
from qwen3vl_edge.captions.run import CaptionRun
from qwen3vl_edge.captions.run_events import Passed, Recorded
from qwen3vl_edge.captions.sidecar_sink import SidecarSink
from qwen3vl_edge.captions.values import Answer, Item, Outcome, Request
from qwen3vl_edge.captions.wording import Wording
from qwen3vl_edge.constraints import from_schema
from qwen3vl_edge.errors import JournalError
from qwen3vl_edge.limits import MediaLimits
from tests.captions.run_cases import Case, item_of, items_in, settings_for, write_pictures


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / "p"
    write_pictures(folder, ["a.jpg", "b.jpg", "c.jpg"])
    (folder / "a.txt").write_text("old a\n")
    (folder / "b.txt").write_text("\n")
    return Case(folder)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("skip", {"a": "old a\n", "b": "\n", "c": "New c.jpg"}),
        ("fill", {"a": "old a\n", "b": "New b.jpg", "c": "New c.jpg"}),
        ("overwrite", {"a": "New a.jpg", "b": "New b.jpg", "c": "New c.jpg"}),
        ("append", {"a": "old a, New a.jpg", "b": "New b.jpg", "c": "New c.jpg"}),
        ("prepend", {"a": "New a.jpg, old a", "b": "New b.jpg", "c": "New c.jpg"}),
    ],
)
def test_modes(mode: Mode, expected: dict[str, str], case: Case) -> None:
    case.run(settings_for("New", mode=mode))
    assert case.texts() == expected
    n_asked = len(case.asked)
    case.run(settings_for("New", mode=mode))  # what is done is done
    assert case.texts() == expected
    assert case.asked == (["a.jpg", "b.jpg", "c.jpg"] if mode == "overwrite" else [])
    assert n_asked == sum(text.find("New") >= 0 for text in expected.values())


@pytest.mark.parametrize("mode", MODES)
def test_other_settings_do_as_the_mode_says(mode: Mode, case: Case) -> None:
    case.run(settings_for("One", mode="overwrite"))
    case.run(settings_for("Two", mode=mode))
    expected = {
        "overwrite": "Two a.jpg",
        "append": "One a.jpg, Two a.jpg",
        "prepend": "Two a.jpg, One a.jpg",
    }
    assert case.texts()["a"] == expected.get(mode, "One a.jpg")


def test_what_changes_captions_changes_the_digest() -> None:
    base = settings_for("One")
    worker = base.worker
    others = [
        settings_for("Two"),
        settings_for("One", "Two"),
        settings_for("One", mode="append"),
        settings_for("One", mode="prepend"),
        replace(settings_for("One", mode="append"), separator=" "),
        replace(base, wording=Wording(prefix="x")),
        replace(base, model=replace(base.model, identity="1" * 64)),
        replace(base, worker=replace(worker, system="Be short.")),
        replace(base, worker=replace(worker, options=replace(worker.options, max_tokens=9))),
        replace(base, worker=replace(worker, clip_options=replace(worker.clip_options, fps=1.0))),
        replace(base, worker=replace(worker, engine=replace(worker.engine, kv_type="q8_0"))),
    ]
    assert len({settings.digest for settings in [base, *others]}) == 1 + len(others)
    same = [
        settings_for("One", mode="overwrite"),
        settings_for("One", mode="fill", retry_failed=True),
        replace(base, separator=" "),
        replace(base, version="9"),
        replace(base, tags_suffix=".tags"),
        replace(base, model=replace(base.model, name="renamed")),
        replace(base, worker=replace(worker, n_parallel=8, model=Path("elsewhere"))),
        replace(base, worker=replace(worker, limits=MediaLimits(1, 1))),
    ]
    assert {settings.digest for settings in same} == {base.digest}


def test_a_changed_picture_is_captioned_as_the_mode_says(case: Case) -> None:
    case.run(settings_for("One", mode="overwrite"))
    os.utime(case.folder / "a.jpg", ns=(1, 1))  # copied: another time, the same content
    (case.folder / "b.jpg").write_bytes(b"another picture")
    (case.folder / "c.jpg").write_bytes(b"PICTURE c.jpg")  # of the same size
    case.run(settings_for("One"))
    assert case.asked == []
    case.run(settings_for("One", mode="append"))
    case.run(settings_for("One", mode="append"))
    assert case.asked == []
    (case.folder / "c.jpg").write_bytes(b"picture C.jpg")
    case.run(settings_for("One", mode="append"))
    assert case.asked == ["c.jpg"]


def test_overwrite_makes_anew_what_a_whole_run_made_and_goes_on_with_one_that_was_cut_off(case: Case) -> None:
    settings = settings_for("New", mode="overwrite")
    case.run(settings_for("New"))  # c alone: the others have captions
    case.run(settings)
    assert case.asked == ["a.jpg", "b.jpg", "c.jpg"]
    whole = case.work

    def cut_off(requests: Iterator[Request]) -> Iterator[Outcome]:
        yield next(iter(whole(requests)))

    case.work = cut_off  # type: ignore[method-assign]
    assert case.forecast(settings).pictures == 3
    case.answer = lambda request, _: f"Newer {request.path.name}"
    case.run(settings)
    assert case.asked == ["a.jpg"]
    case.work = whole  # type: ignore[method-assign]
    assert case.forecast(settings).pictures == 2
    case.run(settings)
    assert case.asked == ["b.jpg", "c.jpg"]
    assert set(case.texts().values()) == {"Newer a.jpg", "Newer b.jpg", "Newer c.jpg"}
    case.run(settings_for("New"))
    assert case.asked == []
    case.run(settings)
    assert len(case.asked) == 3


def test_a_run_that_was_stopped_while_items_came_is_not_whole(case: Case) -> None:
    settings = settings_for("New", mode="overwrite")
    case.run(settings)
    items = items_in(case.folder)
    with Journal(case.journal_path) as journal:
        run = CaptionRun(settings, journal, case.sinks(journal, settings))

        def stopped() -> Iterator[Item]:
            yield items[0]
            run.stop()

        assert not run.caption(stopped(), case.work).is_whole
    case.run(settings)
    assert case.asked == ["b.jpg", "c.jpg"]


def test_failures_are_taken_again_only_on_request(case: Case) -> None:
    write_pictures(case.folder, ["bad.jpg"])
    summary = case.run()
    assert (summary.failed, summary.all_captioned) == (1, False)
    assert summary.failures == [f"{case.folder / 'bad.jpg'}: damaged"]
    summary = case.run()
    assert case.asked == []
    assert summary.skipped["failed before"] == 1
    assert not summary.all_captioned
    case.fails = lambda _: False
    assert case.run(settings_for(retry_failed=True)).done == 1
    assert case.asked == ["bad.jpg"]
    assert case.run().all_captioned


def test_a_crash_is_counted_apart(case: Case) -> None:
    def crash(request: Request) -> Outcome:
        return Outcome(request.number, "crashed", error="it ended its worker twice")

    case.outcome = crash  # type: ignore[method-assign]
    summary = case.run()
    assert (summary.crashed, summary.failed, summary.done) == (1, 0, 0)


def test_a_lost_text_file_is_written_again_without_the_model(case: Case) -> None:
    case.run(settings_for("New", mode="append"))
    before = case.texts()
    (case.folder / "a.txt").unlink()
    summary = case.run(settings_for("New", mode="append"))
    assert case.texts() == before
    assert (summary.restored, case.asked) == (1, [])
    assert summary.all_captioned


def test_what_a_power_cut_takes_back_is_written_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: SidecarSink) -> None:
        raise KeyboardInterrupt

    settings = settings_for("New", mode="append")
    with monkeypatch.context() as patch:
        patch.setattr(SidecarSink, "close", cut)  # nobody has made sure of the text files
        with pytest.raises(KeyboardInterrupt):
            case.run(settings)
    expected = case.texts()
    (case.folder / "a.txt").write_text("old a\n")
    (case.folder / "b.txt").write_text("")
    case.run(settings)
    assert case.texts() == expected
    (case.folder / "a.txt").write_text("by hand")
    case.run(settings)
    assert case.texts()["a"] == "by hand"  # what was made sure of is the user's


def test_two_pictures_with_one_text_file(case: Case) -> None:
    write_pictures(case.folder, ["c.png"])
    summary = case.run()
    assert summary.failures == [
        f"{case.folder / 'c.png'}: c.txt belongs to c.jpg already; rename one, or use -o FILE"
    ]
    assert case.texts()["c"] == "Describe. c.jpg"
    (case.folder / "c.jpg").unlink()  # converted: the name is free
    case.run(settings_for(mode="overwrite", retry_failed=True))
    assert case.texts()["c"] == "Describe. c.png"


def test_the_same_picture_twice_in_one_run(case: Case) -> None:
    (case.folder.parent / "link").symlink_to(case.folder)
    found = [item_of(case.folder / "a.jpg"), item_of(case.folder.parent / "link" / "a.jpg")]

    def hoarding(requests: Iterator[Request]) -> Iterator[Outcome]:
        yield from [case.outcome(request) for request in requests]

    summary = case.run(settings_for("New", mode="append"), [*found, *found])
    assert (summary.done, summary.skipped["found twice"]) == (1, 3)
    case.work = hoarding  # type: ignore[method-assign]
    summary = case.run(settings_for("Newer", mode="append"), found)
    assert (summary.done, summary.skipped["found twice"]) == (1, 1)
    assert case.texts()["a"] == "old a, New a.jpg, Newer a.jpg"


def test_a_moved_dataset_goes_on(case: Case, tmp_path: Path) -> None:
    case.run(settings_for("New", mode="append"))
    case.folder = case.folder.rename(tmp_path / "moved")
    write_pictures(case.folder, ["d.jpg"])
    case.run(settings_for("New", mode="append"))
    assert case.asked == ["d.jpg"]


def test_prompts_are_told_what_is_there(case: Case) -> None:
    (case.folder / "a.tags").write_text("cat, mat\n")
    settings = replace(settings_for("{existing} {tags}", mode="overwrite"), tags_suffix=".tags")
    case.run(settings)
    assert [(request.existing, request.tags) for request in case.requests] == [
        ("old a", "cat, mat"),
        ("", ""),
        ("", ""),
    ]


def test_text_that_cannot_be_joined_is_a_failure_before_the_model(case: Case) -> None:
    (case.folder / "a.txt").write_bytes(b"caf\xe9")
    summary = case.run(settings_for(mode="append"))
    assert (summary.done, summary.failed) == (2, 1)
    assert "a.txt: not UTF-8 text" in summary.failures[0]
    assert (case.folder / "a.txt").read_bytes() == b"caf\xe9"
    assert case.asked == ["b.jpg", "c.jpg"]


def test_what_appears_meanwhile_is_not_overwritten(case: Case) -> None:
    outcome = case.outcome

    def slow(request: Request) -> Outcome:
        request.path.with_suffix(".txt").write_text("by hand")
        return outcome(request)

    case.outcome = slow  # type: ignore[method-assign]
    case.run()
    assert case.texts()["c"] == "by hand"


def test_stopping_keeps_what_is_done(case: Case) -> None:
    def stopped(requests: Iterator[Request]) -> Iterator[Outcome]:
        yield case.outcome(next(requests))
        begun = next(requests)
        yield Outcome(begun.number, "done", (Answer("New", "half an ans", "cancelled", 3),))

    case.work = stopped  # type: ignore[method-assign]
    summary = case.run(settings_for("New", mode="overwrite"))
    assert (summary.done, summary.interrupted, summary.is_whole) == (1, 1, False)
    assert not summary.all_captioned
    assert case.texts() == {"a": "New a.jpg", "b": "\n"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_keeps_what_is_done(error: type[BaseException], case: Case) -> None:
    def ends(requests: Iterator[Request]) -> Iterator[Outcome]:
        yield case.outcome(next(requests))
        raise error

    case.work = ends  # type: ignore[method-assign]
    with pytest.raises(error):
        case.run(settings_for("New", mode="overwrite"))
    assert case.texts()["a"] == "New a.jpg"


def test_it_is_told_when_it_is_safe(case: Case) -> None:
    seen = []

    class Listener(list[object]):
        def append(self, event: object) -> None:
            if isinstance(event, Recorded):
                seen.append((event.item.path.name, event.item.path.with_suffix(".txt").read_text()))

    case.events = Listener()  # type: ignore[assignment]
    case.run(settings_for("New", mode="overwrite"))
    assert seen == [(f"{name}.jpg", f"New {name}.jpg") for name in "abc"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    number: int, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(case.folder, [f"{n}.jpg" for n in range(5)])
    real, room = Path.replace, [4]

    def full(path: Path, target: Path) -> Path:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(number, os.strerror(number))
        return real(path, target)

    settings = settings_for("New", mode="append")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(JournalError, match=f"{os.strerror(number)}.*run the same command again"):
            case.run(settings)
    assert len(case.texts()) == 4 + 2
    asked = list(case.asked)
    case.run(settings)
    assert case.asked == []  # all were asked about before the disk was full
    assert len(asked) == 8
    assert case.texts()["a"] == "old a, New a.jpg"
    assert sorted(case.texts().values())[:-1] == sorted(f"New {n}.jpg" for n in ["b", "c", *range(5)])
    assert not list(case.folder.glob("*.part"))


def test_a_text_file_that_cannot_be_written_is_a_failure_and_its_caption_is_kept(case: Case) -> None:
    folder = case.folder / "sub"
    write_pictures(folder, ["d.jpg"])

    def outcome(request: Request, original: object = case.outcome) -> Outcome:
        found = Case.outcome(case, request)
        if request.path.name == "d.jpg":
            (folder / "d.txt").mkdir()
        return found

    case.outcome = outcome  # type: ignore[method-assign]
    summary = case.run()
    assert (summary.done, summary.failed) == (1, 1)
    assert "d.txt" in summary.failures[0]
    (folder / "d.txt").rmdir()
    assert case.run().skipped["failed before"] == 1
    summary = case.run(settings_for(retry_failed=True))
    assert (summary.restored, case.asked) == (1, [])
    assert (folder / "d.txt").read_text() == "Describe. d.jpg"
    assert case.run().all_captioned


def test_what_vanishes_is_a_failure_and_no_more(case: Case) -> None:
    def gone(request: Request) -> Outcome:
        return Outcome(request.number, "failed", error=f"{request.path}: no such file")

    items = items_in(case.folder)
    for item in items:
        item.path.unlink()
    case.outcome = gone  # type: ignore[method-assign]
    assert case.run(settings_for("New", mode="overwrite"), items).failed == 3
    assert case.texts() == {"a": "old a\n", "b": "\n"}


def test_wording_and_notes_reach_the_record(case: Case) -> None:
    settings = replace(settings_for("New", mode="overwrite"), wording=Wording(prefix="sks, "))
    case.outcome = lambda request: Outcome(  # type: ignore[method-assign]
        request.number, "done", (Answer("New", " This is an ", "length", 4),), notes=("a frame is lost",)
    )
    case.run(settings)
    (record, *_) = [event.record for event in case.events if isinstance(event, Recorded)]
    assert record.captions[0].raw == " This is an "
    assert record.captions[0].text.startswith("sks, ")
    assert record.notes[0] == "a frame is lost"
    assert "cut off" in record.notes[1]
    assert case.texts()["a"] == record.captions[0].text


def test_the_forecast(case: Case) -> None:
    write_pictures(case.folder, ["c.png", "bad.jpg"])
    found = case.forecast(settings_for("New"))
    assert (found.pictures, found.refused, found.skipped) == (2, 1, {"has a caption": 2})
    assert found.seconds is None
    case.run(settings_for("New"))
    found = case.forecast(settings_for("Newer", mode="overwrite"))
    assert (found.pictures, found.clips, found.restored, found.refused) == (4, 0, 0, 1)
    assert found.seconds is not None
    (case.folder / "c.txt").unlink()
    found = case.forecast(settings_for("New"))
    assert found.restored == 1
    assert found.skipped == {"has a caption": 2, "failed before": 2}


def test_items_are_looked_at_as_they_are_needed(case: Case) -> None:
    taken: list[Item] = []

    def watched() -> Iterator[Item]:
        for item in items_in(case.folder):
            taken.append(item)
            yield item

    def lazy(requests: Iterator[Request]) -> Iterator[Outcome]:
        assert taken == []
        for number, request in enumerate(requests, 1):
            assert len(taken) == number
            yield case.outcome(request)

    case.work = lazy  # type: ignore[method-assign]
    assert case.run(settings_for("New", mode="overwrite"), watched()).done == 3
    assert len(taken) == 3


def test_what_is_passed_over_is_told(case: Case) -> None:
    case.run()
    told = [(event.item.path.name, event.reason) for event in case.events if isinstance(event, Passed)]
    assert told == [("a.jpg", "has a caption"), ("b.jpg", "has a caption")]


def test_an_answer_without_the_form_that_was_asked_for_is_a_failure(case: Case) -> None:
    settings = settings_for("New")
    options = replace(settings.worker.options, constraint=from_schema({"type": "object"}))
    settings = replace(settings, worker=replace(settings.worker, options=options), mode="overwrite")
    case.answer = lambda request, _: '{"a": 1}' if request.path.name == "a.jpg" else '{"a": "cut of'
    summary = case.run(settings)
    assert (summary.done, summary.failed) == (1, 2)
    assert "b.jpg: the answer does not follow the schema" in summary.failures[0]
    assert case.texts() == {"a": '{"a": 1}', "b": "\n"}
    assert case.run(settings).skipped["failed before"] == 2


def test_what_is_read_in_a_picture_keeps_its_openings(case: Case) -> None:
    case.answer = lambda _request, _prompt: "Description: a chair"
    ocr, other = preset("ocr"), preset("brief")
    settings = settings_for("New", mode="overwrite")
    settings = replace(settings, wording=Wording(), worker=replace(settings.worker, prompts=(ocr, other)))
    case.run(settings)
    assert case.texts()["a"] == "Description: a chair\nA chair"
