"""How a run is getting on, and how that is drawn, by a clock of our own."""

from pathlib import Path

import pytest
from rich.console import Console

from qwen3vl_edge.captions.events import Opened, Parallel, Restarted, Running, Working
from qwen3vl_edge.captions.record import Caption, Record
from qwen3vl_edge.captions.run_events import Passed, Recorded, Summary
from qwen3vl_edge.captions.values import Answer, Item, Outcome, Request
from qwen3vl_edge.cli.caption_display import LiveDisplay, PlainDisplay, SilentDisplay, drawing
from qwen3vl_edge.cli.caption_state import RunState
from qwen3vl_edge.cli.caption_text import caption_lines, clock, counts, going_on, summary_lines

ITEM = Item(Path("a.png"), "picture", 1, 1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
def state(time: Clock) -> RunState:
    return RunState(time)


def record(error: str | None = None, *captions: Caption, path: str = "a.png") -> Record:
    return Record(path, "failed" if error else "done", captions, error, "m", "q", "v")


def run_for(state: RunState, time: Clock, seconds: int, per_second: int) -> None:
    for _ in range(seconds):
        time.now_s += 1
        for _ in range(per_second):
            state.heed(Recorded(ITEM, record()))


def test_items_are_counted_by_what_came_of_them(state: RunState) -> None:
    state.heed(Recorded(ITEM, record()))
    state.heed(Recorded(ITEM, record(), is_restored=True))
    state.heed(Recorded(ITEM, record("bad")))
    state.heed(Passed(ITEM, "done before"))
    assert (state.n_done, state.n_failed, state.n_skipped, state.n_seen) == (2, 1, 1, 4)


def test_the_pace_is_that_of_the_last_minute_without_opening_the_model(state: RunState, time: Clock) -> None:
    state.total = 1000
    time.now_s += 500  # opening
    assert state.images_per_second is None
    state.hear(Parallel(4))
    run_for(state, time, 100, 1)
    assert state.images_per_second == pytest.approx(1, rel=0.05)
    run_for(state, time, 100, 3)
    assert state.images_per_second == pytest.approx(3, rel=0.05)
    assert state.left_s == pytest.approx(600 / 3, rel=0.05)
    time.now_s += 300  # one that takes long: the pace falls while nothing comes
    assert (state.images_per_second or 9) < 1


def test_what_was_restored_is_no_pace(state: RunState, time: Clock) -> None:
    state.hear(Parallel(4))
    for _ in range(50):
        time.now_s += 0.1
        state.heed(Recorded(ITEM, record(), is_restored=True))
    assert state.images_per_second is None


def test_tokens_are_those_of_the_answers(state: RunState, time: Clock) -> None:
    state.hear(Parallel(2))
    for number in range(10):
        time.now_s += 1
        state.answered(Outcome(number, "done", (Answer("?", "x", "stop", 8), Answer("?", "y", "stop", 2))))
    assert state.n_tokens == 100
    assert state.tokens_per_second == pytest.approx(10)


def test_a_restart_is_seen(state: RunState) -> None:
    state.hear(Parallel(4))
    state.hear(Restarted("crash", (1,), 2))
    assert (state.activity, state.n_restarts, state.n_parallel) == ("restarting", 1, 2)
    state.hear(Running("decode", (1,), 30))
    assert state.activity == ""


def test_files_that_the_model_is_at(state: RunState) -> None:
    requests = [Request(number, Path(f"{number}.png"), "picture") for number in range(3)]
    assert list(state.asked(iter(requests))) == requests
    state.hear(Running("decode", (0, 2), 1))
    assert state.current == [Path("0.png"), Path("2.png")]
    state.answered(Outcome(0, "done"))
    assert state.current == [Path("2.png")]


def test_what_goes_on_before_captions_come(state: RunState) -> None:
    state.hear(Working("loading", 30, 60))
    assert state.activity == "loading, 50 %"
    state.hear(Working("warming up", 0, None))
    assert state.activity == "warming up"
    state.hear(Opened("demo", "id"))
    assert state.activity == "demo is open"


def drawn(state: RunState, width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(drawing(state, width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_drawing_is_two_lines_that_fit(state: RunState, time: Clock, width: int) -> None:
    state.total = 500
    state.hear(Parallel(8))
    long = "a very long name of a picture that was once downloaded from somewhere.png"
    names = [f"{number} {long}" for number in range(6)] + [
        "\x1b[31mred\n\u202e.png",
        "漢字" * 30,
        "caf\udce9.png",
    ]
    list(state.asked(Request(number, Path(name), "picture") for number, name in enumerate(names)))
    state.hear(Running("decode", tuple(range(len(names))), 9))
    run_for(state, time, 10, 5)
    lines = drawn(state, width)
    assert len(lines) == 2
    assert all("\x1b" not in line and "\u202e" not in line for line in lines)
    console = Console(width=width)
    assert all(console.measure(line).maximum <= width for line in lines if line)
    assert "50 of 500" in lines[0]
    if width == 200:
        assert "50 of 500, 5 images/s" in lines[0]
        assert "1:30 left" in lines[0]
        assert "from somewhere.png" not in lines[1]
        assert "and 5 more" in lines[1]


def test_plain_lines_come_now_and_then(
    state: RunState, time: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with PlainDisplay(state, time) as display:
        for _ in range(90):
            time.now_s += 1
            display.refresh()
        display.note("bad\x1b")
    said = capsys.readouterr().err.splitlines()
    assert said == ["qwen3vl-edge: starting"] * 3 + [r"qwen3vl-edge: bad\x1b"]


def test_live_notes_stay_and_the_bar_goes(state: RunState, capsys: pytest.CaptureFixture[str]) -> None:
    with LiveDisplay(state, Console(stderr=True, force_terminal=False, width=60)) as display:
        display.note("[bold]bad[/bold] :cat: \x1b[31m" + "x" * 100)
        display.refresh()
    said = capsys.readouterr().err
    assert "qwen3vl-edge: [bold]bad[/bold] :cat: \\x1b[31m" + "x" * 100 in said


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with SilentDisplay() as display:
        display.note("x")
        display.refresh()
    assert capsys.readouterr() == ("", "")


def test_clocks() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3600, 360_061)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "100:01:01",
    ]


def test_counts_without_a_total(state: RunState) -> None:
    state.heed(Recorded(ITEM, record("bad")))
    assert counts(state) == "1 files, 1 failed, 0:00 gone"


def test_summaries_say_what_was_left_and_how_to_get_it() -> None:
    summary = Summary(done=5, restored=2, failed=1, crashed=1, is_whole=True)
    summary.skipped["failed before"] = 3
    lines = summary_lines(summary, 10.0, kept=True)
    assert summary_lines(summary, 10.0, kept=False) == lines[:-1]
    assert lines == [
        "7 captioned in 0:10, 0.5 images/s (2 of them from the journal, without the model)",
        "3 skipped: failed before (--retry-failed takes them again)",
        "1 failed",
        "1 crashed the worker and are set aside",
        "--retry-failed takes them again",
    ]
    assert "7 captions are kept; the same command goes on" in going_on(summary, kept=True)
    assert "nothing but what was printed" in going_on(summary, kept=False)


def test_captions_are_one_line_each() -> None:
    one = Caption("caption", "?", "", "A cat\n on a mat \x1b[1m", "stop", 3)
    other = Caption("mood", "?", "", "calm", "stop", 3)
    assert caption_lines(record(None, one), escape=False) == ["a.png: A cat on a mat \x1b[1m"]
    assert caption_lines(record(None, one, other), escape=True) == [
        r"a.png (caption): A cat on a mat \x1b[1m",
        "a.png (mood): calm",
    ]
