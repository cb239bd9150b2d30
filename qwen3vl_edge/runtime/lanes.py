"""Which job goes into which sequence, and when: as many at once as there are lanes and cells."""

from collections.abc import Generator, Iterator
from itertools import takewhile
from typing import Generic, TypeVar

from qwen3vl_edge.errors import ContextFullError, EdgeError
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch
from qwen3vl_edge.runtime.lane import Lane, Work, n_shared
from qwen3vl_edge.runtime.run import check_room
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Lanes"]

K = TypeVar("K")

_FOR_ANSWER = 128  # cells for each answer that a new context has; it grows where they are longer


class Lanes(Generic[K]):
    """Up to `n_parallel` sequences of `bench`, and `jobs` on their way into them.

    A job comes in only when the cells suffice for its prompt and its longest answer beside those of all
    others, so that none finds the context full because of a neighbour. A lane that has become free keeps
    what it holds until that is in the way.
    """

    def __init__(
        self, bench: Workbench, jobs: Iterator[Job[K] | None], n_parallel: int, watch: Watch[K]
    ) -> None:
        self._bench, self._jobs, self._n_parallel, self._watch = bench, jobs, n_parallel, watch
        self._limit = bench.n_free()  # what sessions hold is theirs
        self._lanes: list[Lane[K]] = []  # those that have been free longest come first
        self._waiting: Work[K] | None = None  # for cells
        self._divided = False  # the cells, among the lanes
        self.more = True
        """There may be more jobs."""

    def working(self) -> list[Lane[K]]:
        """Give the lanes with work, in the order in which one batch can hold them."""
        working = (lane for lane in self._lanes if lane.work is not None)
        return sorted(working, key=lambda lane: lane.number)

    def admit(self) -> Iterator[Refused[K]]:
        """Give jobs to free lanes as long as there are both, and cells; gives those that cannot be done.

        Raises:
            EngineError: There are fewer sequences than are to be had at once.
        """
        while len(self.working()) < self._n_parallel:
            work = self._waiting or (yield from self._next_work())
            self._waiting = None
            if work is None:
                return
            if not self._make_room(work.claim):
                if self.working():
                    self._waiting = work
                    return
                yield self._refused(work)  # sessions have taken the cells meanwhile: nothing here frees any
                continue
            lane = self._free_lane()
            lane.work = work
            self._move_back(lane)

    def begin(self) -> None:
        """Have new work take over what any lane holds of the beginning of its prompt.

        One whose picture another lane is just about to read waits for that.
        """
        prompts = [lane.work.prompt for lane in self.working() if lane.work is not None]
        if prompts:
            self._bench.prepare(sum(prompt.n_cells + _FOR_ANSWER for prompt in prompts))
        for lane in self.working():
            if lane.work is None or lane.work.begun:
                continue
            keys = lane.work.prompt.keys
            donor = max([lane, *self._lanes], key=lambda other: n_shared(other, keys))
            n_soon = max(_n_common(other, lane.work) for other in self._lanes)
            if not any(isinstance(key, bytes) for key in keys[n_shared(donor, keys) : n_soon]):
                lane.begin(donor)

    def free(self, lane: Lane[K]) -> None:
        """Take the work of `lane` off; what was read of its prompt stays for whoever shares it."""
        if lane.work is not None:
            lane.work.close()
            if lane.work.begun:
                lane.cut(min(len(lane.occupants.entries), len(lane.work.prompt.keys)))
            lane.work = None
        self._move_back(lane)

    def give_up(self) -> Iterator[Completed[K]]:
        """End all work and take no more; gives what there is of each answer."""
        self.more = False
        for lane in self.working():
            if lane.work is not None:
                yield lane.work.completed()
                self.free(lane)
        if self._waiting is not None:
            yield self._waiting.completed()
            self._waiting.close()
            self._waiting = None

    def idle(self) -> bool:
        """Tell whether nothing is being done, and nothing waits."""
        return self._waiting is None and not self.working()

    def close(self) -> None:
        """Give everything back, whether it is done or not."""
        if self._waiting is not None:
            self._waiting.close()
        for lane in self._lanes:
            if lane.work is not None:
                lane.work.close()
        self._give_back()

    def _move_back(self, lane: Lane[K]) -> None:
        self._lanes.remove(lane)
        self._lanes.append(lane)

    def _free_lane(self) -> Lane[K]:
        free = next((lane for lane in self._lanes if lane.work is None), None)
        if free is None:
            free = Lane(self._bench, self._bench.take_sequence())
            self._lanes.append(free)
        return free

    def _give_back(self) -> None:
        for lane in self._lanes:
            lane.cut(0)
            self._bench.give_back(lane.number)
        self._lanes.clear()

    def _next_work(self) -> Generator[Refused[K], None, Work[K] | None]:
        """Take jobs until one can be done; returns None if there is none now."""
        while self.more:
            try:
                job = next(self._jobs)
            except StopIteration:
                self.more = False
                return None
            if job is None:
                return None
            try:
                return self._work(job)
            except EdgeError as error:
                yield Refused(job.key, error)
        return None

    def _refused(self, work: Work[K]) -> Refused[K]:
        work.close()
        n_free = self._bench.n_free()
        return Refused(work.key, ContextFullError(f"{work.claim} cells are wanted, and {n_free} are free"))

    def _work(self, job: Job[K]) -> Work[K]:
        self._watch(Step("prefill", (job.key,)))  # the prompt and its grammar go through llama.cpp, too
        work = Work(job, self._bench, self._limit)
        try:
            check_room(work.prompt, self._limit)
        except ContextFullError:
            work.close()
            raise
        return work

    def _make_room(self, n_cells: int) -> bool:
        """See that `n_cells` more will be free; what lanes without work hold is given up for that."""
        if not self._divided or n_cells > self._bench.n_each:
            if self.working():
                return False
            self._divide(n_cells)
        promised = sum(lane.outstanding for lane in self._lanes)
        for lane in self._lanes:
            if self._bench.n_free() - promised >= n_cells:
                return True
            if lane.work is None or not lane.work.begun:
                lane.cut(0)
        return self._bench.n_free() - promised >= n_cells

    def _divide(self, n_cells: int) -> None:
        """Give each lane `n_cells` or more of its own, so many that this is seldom done; or share them."""
        self._give_back()
        n_each = max(n_cells, 2 * self._bench.n_each) if self._divided else n_cells
        numbers = self._bench.take_apart(self._n_parallel, n_each)
        self._lanes = [Lane(self._bench, number) for number in numbers]
        self._divided = True


def _n_common(lane: Lane[K], work: Work[K]) -> int:
    """Count the entries with which `work` and what another lane is reading begin alike."""
    if lane.work is None or lane.work is work or not lane.work.begun:
        return 0
    pairs = zip(lane.work.prompt.keys, work.prompt.keys[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
