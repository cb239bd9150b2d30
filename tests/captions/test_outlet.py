from pathlib import Path

import pytest

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.journal_runs import begin_run
from qwen3vl_edge.captions.outlet import Outlet
from qwen3vl_edge.captions.record import Caption, Record
from qwen3vl_edge.captions.run_events import RunEvent
from qwen3vl_edge.captions.sidecar_sink import SidecarSink
from qwen3vl_edge.captions.values import Outcome
from tests.captions.run_cases import item_of, settings_for, write_pictures


class _Bench:
    """An outlet with a clock that is set by hand."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.now_s = 0.0
        self.told: list[RunEvent] = []
        self.folder, self.journal, settings = folder, journal, settings_for()
        begin_run(journal, settings)
        sinks = [SidecarSink(journal, ".txt", "skip", None)]
        self.outlet = Outlet(settings, journal, sinks, self.told.append, lambda: self.now_s)

    def put(self, name: str) -> None:
        (path,) = write_pictures(self.folder, [name])
        caption = Caption("p", "Describe.", name, name, "stop", 1)
        record = Record(str(path), "done", (caption,), None, "demo", "Q8_0", "0.1.0")
        self.outlet.put(self.journal.keys.key(path), item_of(path), Outcome(0, "done"), record)

    @property
    def written(self) -> int:
        return len(list(self.folder.glob("*.txt")))


def test_what_came_is_written_after_half_a_second(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        bench = _Bench(tmp_path, journal)
        bench.put("a.jpg")
        bench.now_s = 0.4
        bench.outlet.tick()
        assert (bench.written, bench.told) == (0, [])
        bench.now_s = 0.6
        bench.outlet.tick()
        assert (bench.written, len(bench.told)) == (1, 1)
        bench.put("b.jpg")
        assert bench.written == 1
        bench.now_s = 1.2
        bench.put("c.jpg")
        assert (bench.written, len(bench.told)) == (3, 3)


def test_fifty_are_written_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        bench = _Bench(tmp_path, journal)
        for n in range(50):
            assert bench.written == 0
            bench.put(f"{n}.jpg")
        assert (bench.written, len(bench.told)) == (50, 50)


def test_nothing_is_written_before_it_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "journal") as journal:
        bench = _Bench(tmp_path, journal)
        seen: list[int] = []
        commit = journal.commit
        monkeypatch.setattr(journal, "commit", lambda: (seen.append(bench.written), commit()))
        bench.put("a.jpg")
        bench.outlet.flush()
        assert seen == [0]
        assert bench.written == 1
