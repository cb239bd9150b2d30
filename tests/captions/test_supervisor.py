import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import qwen3vl_edge.captions.clock as clock_module
from qwen3vl_edge.captions.events import Event, Opened, Parallel, Patience, Restarted, Running, Working
from qwen3vl_edge.captions.process import WorkerProcess
from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EdgeError, EngineError, GGUFError, UsageError
from tests.captions.scripted import SETTINGS, command, requests

BRIEF = Patience(item_s=3.0, end_s=10.0)


class Run:
    """What came of one run; outcomes by the names of files."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        *options: str,
        settings: WorkerSettings = SETTINGS,
        patience: Patience = BRIEF,
    ) -> None:
        self.events: list[Event] = []
        self.workers: list[WorkerProcess] = []
        asked = requests(folder, names)
        with Supervisor(
            settings, on_event=self._heed, patience=patience, command=command(folder, *options)
        ) as self._supervisor:
            found = list(self._supervisor.run(asked))
        assert Counter(outcome.number for outcome in found) == Counter(range(len(names)))
        self.outcomes = {names[outcome.number]: outcome for outcome in found}

    def _heed(self, event: Event) -> None:
        self.events.append(event)
        worker = self._supervisor._worker
        if worker is not None and worker not in self.workers:
            self.workers.append(worker)

    @property
    def ended_with(self) -> list[int | None]:
        """Exit statuses of the workers."""
        return [worker._child.returncode for worker in self.workers]

    def named(self, status: str) -> set[str]:
        return {name for name, outcome in self.outcomes.items() if outcome.status == status}

    def error(self, name: str) -> str:
        return self.outcomes[name].error or ""

    @property
    def restarts(self) -> list[Restarted]:
        return [event for event in self.events if isinstance(event, Restarted)]


def good(n: int) -> list[str]:
    return [f"good{number}.png" for number in range(n)]


def test_all_is_done_by_one_worker_and_told_as_it_goes(tmp_path: Path) -> None:
    run = Run(tmp_path, good(30))
    assert run.named("done") == set(good(30))
    assert run.events[0] == Working("opening", 0, 1)
    assert run.ended_with == [0]
    assert run.outcomes["good7.png"].answers[0].text == "a caption of good7.png"
    kinds = Counter(type(event) for event in run.events)
    assert kinds[Opened] == kinds[Parallel] == 1 and kinds[Restarted] == 0
    assert max(len(event.numbers) for event in run.events if isinstance(event, Running)) == 4
    assert max(event.n_tokens for event in run.events if isinstance(event, Running)) > 29 * 20


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("abort.png", "twice: crash (SIGABRT), last words: ggml.c:1: GGML_ASSERT(false) failed"),
        ("segfault.png", "crash (SIGSEGV)"),
        ("exit.png", "exit status 7"),
        ("engine.png", "llama.cpp failed to evaluate (-3): nobody knows why"),
        ("read-abort.png", "crash (SIGABRT)"),
    ],
)
def test_a_file_that_ends_its_worker_is_set_aside_and_no_other(
    tmp_path: Path, name: str, reason: str
) -> None:
    names = [*good(6), name, *(f"more{number}.png" for number in range(6))]
    run = Run(tmp_path, names)
    assert run.named("crashed") == {name}
    assert len(run.named("done")) == 12
    assert reason in run.error(name)
    assert len(run.restarts) == 2 and run.restarts[1].numbers == (6,)
    assert {event.n for event in run.events if isinstance(event, Parallel)} == {4}


@pytest.mark.parametrize("name", ["hang.png", "read-hang.png"])
def test_a_file_over_which_a_worker_hangs_is_set_aside(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path, [*good(3), name, "more.png"], patience=Patience(item_s=2.0))
    assert run.named("crashed") == {name} and len(run.named("done")) == 4
    assert "no sign of life for 2 s" in run.error(name)


def test_a_picture_that_takes_long_is_no_hang(tmp_path: Path) -> None:
    names = ["busy.png", "good.png"]
    run = Run(tmp_path, names, patience=Patience(item_s=2.5))
    assert run.named("done") == set(names) and not run.restarts


@pytest.mark.parametrize("name", ["abort", "read-abort", "exit", "hang", "memory", "engine"])
def test_a_crash_that_does_not_come_again_costs_nothing(tmp_path: Path, name: str) -> None:
    names = [*good(3), f"{name}-once.png"]
    run = Run(tmp_path, names, patience=Patience(item_s=2.0))
    assert run.named("done") == set(names) and len(run.restarts) == 1


def test_a_worker_that_aborts_every_few_files_finishes(tmp_path: Path) -> None:
    run = Run(tmp_path, good(40), "--abort-every", "7")
    assert run.named("done") == set(good(40))
    assert len(run.restarts) >= 4


def test_noise_does_no_harm(tmp_path: Path) -> None:
    names = ["noise.png", *good(3)]
    run = Run(tmp_path, names)
    assert run.named("done") == set(names) and not run.restarts


def test_too_little_memory_halves_what_runs_at_once_and_no_file_suffers(tmp_path: Path) -> None:
    run = Run(tmp_path, good(20), "--too-many", "2", settings=replace(SETTINGS, n_parallel=8))
    assert run.named("done") == set(good(20))
    assert [event.n for event in run.events if isinstance(event, Parallel)] == [8, 4, 2]
    assert all(not event.numbers for event in run.restarts)


@pytest.mark.parametrize("name", ["memory.png", "killed.png"])
def test_a_file_that_alone_takes_too_much_memory_is_set_aside(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path, [*good(5), name])
    assert run.named("crashed") == {name} and len(run.named("done")) == 5
    assert "memory" in run.error(name).lower()


def test_a_model_that_does_not_open_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    cases: list[tuple[str, type[EdgeError], str]] = [
        ("refused", EngineError, "too small"),
        ("damaged", GGUFError, "model.gguf is damaged"),
        ("abort", EngineError, "ended 3 times in a row .*SIGABRT"),
        ("hang", EngineError, "ended 3 times in a row .*no sign of life"),
    ]
    for opening, error, reason in cases:
        with pytest.raises(error, match=reason):
            patience = Patience(start_s=1.0 if opening == "hang" else 60.0)
            Run(tmp_path, good(2), "--opening", opening, patience=patience)


def test_a_worker_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    (request,) = requests(tmp_path, good(1))
    for arguments, reason in (
        ([str(tmp_path / "absent")], "No such file"),
        ([sys.executable, "-c", "print('hello')"], "3 times in a row .* no message: b'hello"),
        ([sys.executable, "-c", "import os; os.close(1); input()"], "3 times in a row"),
        ([sys.executable, "-c", "raise SystemExit('no module')"], "exit status 1, last words: no module"),
    ):
        with Supervisor(SETTINGS, command=arguments) as supervisor, pytest.raises(EngineError, match=reason):
            list(supervisor.run([request]))


def test_settings_that_only_the_worker_can_judge_end_the_run(tmp_path: Path) -> None:
    (prompt,) = SETTINGS.prompts
    bad = replace(SETTINGS, prompts=(replace(prompt, grammar="root ::= nothing"),))
    with pytest.raises(UsageError):
        Run(tmp_path, good(1), settings=bad)


def test_when_everything_crashes_it_is_not_the_files(tmp_path: Path) -> None:
    asked = requests(tmp_path, [f"abort_{number}.png" for number in range(9)])
    found: list[Outcome] = []
    with (
        Supervisor(SETTINGS, patience=Patience(n_crashed=3), command=command(tmp_path)) as supervisor,
        pytest.raises(EngineError, match="the last 3 files all ended the worker"),
    ):
        for outcome in supervisor.run(asked):
            found.append(outcome)  # noqa: PERF402 -- those before the error count
    assert [outcome.status for outcome in found] == ["crashed"] * 3


def test_requests_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    asked = requests(tmp_path, good(200))
    taken, ahead = 0, []

    def source() -> Iterator[Request]:
        nonlocal taken
        for request in asked:
            taken += 1
            yield request

    with Supervisor(SETTINGS, command=command(tmp_path)) as supervisor:
        for n_done, _ in enumerate(supervisor.run(source()), 1):
            ahead.append(taken - n_done)
    assert max(ahead) < 20 and taken == 200


def test_without_requests_no_worker_is_started() -> None:
    with Supervisor(SETTINGS, command=["/absent"]) as supervisor:
        assert list(supervisor.run([])) == []


def test_two_requests_with_one_number_are_a_mistake(tmp_path: Path) -> None:
    (request,) = requests(tmp_path, ["hang.png"])
    with Supervisor(SETTINGS, command=command(tmp_path)) as supervisor, pytest.raises(ValueError):
        list(supervisor.run([request, request]))


def test_cancelled_it_ends_soon_and_what_is_not_done_has_no_outcome(tmp_path: Path) -> None:
    asked = requests(tmp_path, [*good(3), "hang.png", *(f"more{number}.png" for number in range(50))])
    found: list[Outcome] = []
    patience = Patience(item_s=60, end_s=1.0)
    with Supervisor(SETTINGS, command=command(tmp_path), patience=patience) as supervisor:
        timer = threading.Timer(3.0, supervisor.cancel)
        timer.start()
        found += supervisor.run(asked)
        timer.join()
    numbers = Counter(outcome.number for outcome in found)
    assert 3 not in numbers and len(numbers) < len(asked) and set(numbers.values()) <= {1}
    assert {outcome.status for outcome in found} <= {"done"}


def test_left_in_the_middle_no_worker_stays(tmp_path: Path) -> None:
    asked = requests(tmp_path, good(50))
    pids: list[int] = []

    def note(_event: Event) -> None:
        assert supervisor._worker is not None
        pids.append(supervisor._worker.pid)

    supervisor = Supervisor(SETTINGS, on_event=note, command=command(tmp_path))
    with supervisor:
        for _ in supervisor.run(asked):
            break
    assert len(set(pids)) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_worker_that_is_killed_from_outside_costs_no_file(tmp_path: Path, signal_: signal.Signals) -> None:
    asked = requests(tmp_path, good(40))
    events: list[Event] = []
    found: list[Outcome] = []
    supervisor = Supervisor(SETTINGS, on_event=events.append, command=command(tmp_path, "--slow-s", "0.02"))
    with supervisor:
        for outcome in supervisor.run(asked):
            found.append(outcome)
            if len(found) in {3, 20}:
                assert supervisor._worker is not None
                os.kill(supervisor._worker.pid, signal_)
    assert Counter(outcome.number for outcome in found) == Counter(range(40))
    assert {outcome.status for outcome in found} == {"done"}
    assert [type(event) for event in events].count(Restarted) == 2


def test_a_consumer_that_takes_its_time_does_not_make_the_worker_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(0, 10**9, 3600))  # a process that is stopped now and then sees such a clock
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(monotonic=lambda: next(hours)))
    run = Run(tmp_path, good(12), patience=Patience(item_s=2 * 1000.0, end_s=5.0))
    assert run.named("done") == set(good(12)) and not run.restarts


def test_the_supervisor_loads_nothing_native() -> None:
    program = (
        "import sys, json, qwen3vl_edge.captions.supervisor\n"
        "print(json.dumps([name for name in ('llama_cpp', 'cv2', 'torch') if name in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert json.loads(found.stdout) == []
