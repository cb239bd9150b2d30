"""The supervisor against workers that are made up, and do the worst at any moment."""

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen3vl_edge.captions.clock as clock_module
import qwen3vl_edge.captions.supervisor as supervisor_module
from qwen3vl_edge.captions.events import Event, Patience, Restarted
from qwen3vl_edge.captions.process import Ended
from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.captions.values import Outcome, Request, Status
from qwen3vl_edge.captions.wire import Fault, Message, Opened, Parallel, Reading, Running
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EngineError
from tests.captions.scripted import SETTINGS

ENDLESS = Patience(item_s=30.0, n_starts=10**9, n_crashed=10**9)
ABORTED, KILLED = Ended("SIGABRT", -6, "GGML_ASSERT"), Ended("SIGKILL", -9, "")


@dataclass
class World:
    """What workers of one run share: chance, bad files, and how often bad luck strikes at any step."""

    chance: random.Random
    poison: frozenset[int]
    bad_luck: float
    n_sent: int = 0
    identities: Iterator[str] = field(default_factory=lambda: repeat("the same"))

    def worker(self, _command: Sequence[str], settings_: WorkerSettings) -> "MadeUp":
        return MadeUp(self, settings_.n_parallel or 8)


class MadeUp:
    """A `WorkerProcess` without a process: each message is a step of its life, chosen at random."""

    pid = 0

    def __init__(self, world: World, n_parallel: int) -> None:
        self.world, self.n_parallel = world, n_parallel
        self.inbox: deque[int] = deque()
        self.reading: list[int] = []
        self.ready: deque[int] = deque()
        self.running: list[int] = []
        self.said: deque[Message] = deque([Opened("made up", next(world.identities)), Parallel(n_parallel)])
        self.ended: Ended | None = None
        self.hangs = self.gone = False

    def send(self, request: Request) -> None:
        self.inbox.append(request.number)
        self.world.n_sent += 1

    def receive(self, timeout_s: float) -> Message | Ended | None:
        assert timeout_s >= 0 and not self.gone
        if not self.said and not self.ended and not self.hangs:
            self._live()
        if self.said:
            return self.said.popleft()
        self.gone = self.ended is not None
        return self.ended

    def kill(self) -> None:
        self.ended = KILLED

    def finish(self) -> None:
        self.ended = self.ended or Ended(None, 0, "")

    def close(self, patience_s: float = 0.0) -> None:
        self.finish()

    def _live(self) -> None:
        chance = self.world.chance
        if chance.random() < self.world.bad_luck:
            self._suffer()
            return
        moves = [self._begin_reading] * (len(self.reading) < 2) * bool(self.inbox)
        moves += [self._end_reading] * bool(self.reading)
        moves += [self._admit] * bool(self.ready) * (len(self.running) < self.n_parallel)
        moves += [self._decode, self._complete] * bool(self.running)
        if moves:
            chance.choice(moves)()

    def _suffer(self) -> None:
        """End or hang, for no reason of its own."""
        what = self.world.chance.choice(["abort", "kill", "exit", "hang", "memory"])
        self.hangs = what == "hang"
        if what == "memory":
            self.said.append(Fault("memory", "no room"))
        ends = {"abort": ABORTED, "kill": KILLED, "exit": Ended(None, 3, ""), "memory": Ended(None, 1, "")}
        self.ended = ends.get(what)

    def _begin_reading(self) -> None:
        self.reading.append(self.inbox.popleft())
        self.said.append(Reading(tuple(self.reading)))
        if self.reading[-1] in self.world.poison and self.reading[-1] % 2:
            self.ended = ABORTED

    def _end_reading(self) -> None:
        number = self.reading.pop(self.world.chance.randrange(len(self.reading)))
        if number % 7 == 3:
            self.said.append(Outcome(number, "failed", error="damaged"))
        else:
            self.ready.append(number)
        self.said.append(Reading(tuple(self.reading)))

    def _admit(self) -> None:
        self.running.append(self.ready.popleft())
        self.said.append(Running("encode", (self.running[-1],), 0))
        if self.running[-1] in self.world.poison:
            if self.world.chance.random() < 0.5:
                self.ended = ABORTED
            else:
                self.hangs = True

    def _decode(self) -> None:
        self.said.append(Running("decode", tuple(self.running), 0))

    def _complete(self) -> None:
        number = self.running.pop(self.world.chance.randrange(len(self.running)))
        self.said.append(Outcome(number, "done"))
        if self.world.chance.random() < 0.1:
            self.said.append(Outcome(number, "done"))  # nobody waits for it


def run(world: World, n: int, n_parallel: int | None) -> tuple[dict[int, Status], list[Event]]:
    """Run `n` requests in `world`; each has one outcome."""
    events: list[Event] = []
    quarters = count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor_module, "WorkerProcess", world.worker)
        clock = SimpleNamespace(monotonic=lambda: next(quarters) / 4)
        patch.setattr(clock_module, "time", clock)
        told = replace(SETTINGS, n_parallel=n_parallel)
        with Supervisor(told, on_event=events.append, patience=ENDLESS) as supervisor:
            asked = (Request(number, Path(f"{number}.png"), "picture") for number in range(n))
            found = list(supervisor.run(asked))
    assert Counter(outcome.number for outcome in found) == Counter(range(n))
    return {outcome.number: outcome.status for outcome in found}, events


POISON = st.frozensets(st.integers(0, 60), max_size=8)
SIZES = st.integers(0, 60)
AT_ONCE = st.sampled_from([None, 1, 2, 5, 16])


@given(st.integers(0, 2**32), POISON, SIZES, AT_ONCE)
@settings(deadline=None, max_examples=300)
def test_the_bad_are_set_aside_and_only_they(
    seed: int, poison: frozenset[int], n: int, n_parallel: int | None
) -> None:
    world = World(random.Random(seed), poison, bad_luck=0.0)
    statuses, _ = run(world, n, n_parallel)
    for number, status in statuses.items():
        fails_when_read = number % 7 == 3 and not (number in poison and number % 2)
        expected = "failed" if fails_when_read else "crashed" if number in poison else "done"
        assert status == expected, number


@given(st.integers(0, 2**32), POISON, SIZES, AT_ONCE, st.floats(0.001, 0.1))
@settings(deadline=None, max_examples=300)
def test_whatever_happens_each_request_has_one_outcome(
    seed: int, poison: frozenset[int], n: int, n_parallel: int | None, bad_luck: float
) -> None:
    world = World(random.Random(seed), poison, bad_luck)
    statuses, events = run(world, n, n_parallel)
    assert all(status != "done" for number, status in statuses.items() if number in poison and number % 2)
    n_restarts = sum(isinstance(event, Restarted) for event in events)
    assert world.n_sent <= n * (n_restarts + 1)


@given(st.integers(0, 2**32), SIZES)
@settings(deadline=None, max_examples=50)
def test_a_cancelled_run_ends_and_gives_nothing_twice(seed: int, n: int) -> None:
    chance = random.Random(seed)
    world = World(chance, frozenset(), bad_luck=0.01)
    stop_at, quarters, found = chance.randrange(n + 1), count(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor_module, "WorkerProcess", world.worker)
        patch.setattr(clock_module, "time", SimpleNamespace(monotonic=lambda: next(quarters) / 4))
        with Supervisor(SETTINGS, patience=ENDLESS) as supervisor:
            for outcome in supervisor.run(Request(number, Path("a"), "picture") for number in range(n)):
                found.append(outcome.number)
                if len(found) == stop_at:
                    supervisor.cancel()
    assert len(found) == len(set(found)) and stop_at <= len(found) <= n


def test_a_model_that_changes_ends_the_run() -> None:
    world = World(random.Random(0), frozenset({1}), bad_luck=0.0, identities=iter(["one", "other"]))
    with pytest.raises(EngineError, match="changed since the run began"):
        run(world, 2, n_parallel=1)
