"""Continuous batching: many prompts in one context, each in a lane of its own.

A round encodes and reads one picture of every lane that stands before one, then reads text in one batch:
what lanes have to read before their next picture or the answer, and the latest token of each answer. A lane
whose answer is complete takes the next job at once.

What a prompt shares with what any lane holds, be it the system prompt or a picture, is read once: its lane
takes over those cells (they are shared, not copied). A job comes in only when the cells suffice for its
prompt and its longest answer beside those of all others, so that none finds the context full because of a
neighbour.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Generic, Literal, TypeVar

from qwen3vl_edge.errors import ContextFullError, EdgeError, EngineError, MediaError
from qwen3vl_edge.runtime.batch import TextPiece, VisionPiece
from qwen3vl_edge.runtime.cells import Entry
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch
from qwen3vl_edge.runtime.lane import Lane, Work, n_shared
from qwen3vl_edge.runtime.native import Cancelled, library
from qwen3vl_edge.runtime.run import check_room, clock
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Scheduler"]

K = TypeVar("K")

_ASK_AGAIN_S = 0.005  # later, where no job was ready and nothing runs
_FOR_ANSWER = 128  # cells for each answer that a new context has; it grows where they are longer


class Scheduler(Generic[K]):
    """Does `jobs` on `bench`, up to `n_parallel` at once; see `Engine.generate_many`.

    Raises:
        EngineError: There are fewer free sequences than `n_parallel`.
    """

    def __init__(
        self, bench: Workbench, jobs: Iterator[Job[K] | None], n_parallel: int, watch: Watch[K]
    ) -> None:
        self._bench, self._jobs, self._watch = bench, jobs, watch
        self._n_parallel = n_parallel
        self._limit = bench.n_free()  # what sessions hold is theirs
        self._lanes: list[Lane[K]] = []  # those that have been free longest come first
        self._waiting: Work[K] | None = None  # for cells
        self._more = True
        self._results: list[Completed[K] | Refused[K]] = []

    def run(self) -> Iterator[Completed[K] | Refused[K]]:
        """Give the results as they come."""
        try:
            while self._goes_on():
                yield from self._taken()
        finally:
            self._close()

    def _goes_on(self) -> bool:
        """Do a round; False when nothing is left to be done."""
        try:
            library().check_cancelled()
            self._admit()
            if any(lane.work for lane in self._lanes):
                self._begin()
                self._read_pictures()
                self._read_text()
            elif self._more and not self._results:
                time.sleep(_ASK_AGAIN_S)
        except Cancelled:
            library().go_on()
            self._give_up()
        return bool(self._more or self._results or self._waiting or any(lane.work for lane in self._lanes))

    def _taken(self) -> Iterator[Completed[K] | Refused[K]]:
        while self._results:
            yield self._results.pop(0)

    # --- jobs come in

    def _admit(self) -> None:
        """Give jobs to free lanes as long as there are both, and cells."""
        while lane := self._free_lane():
            work, self._waiting = self._waiting or self._next_work(), None
            if work is None:
                return
            if not self._make_room(work.claim):
                self._waiting = work
                return
            lane.work = work
            self._lanes.remove(lane)
            self._lanes.append(lane)

    def _free_lane(self) -> Lane[K] | None:
        free = next((lane for lane in self._lanes if lane.work is None), None)
        if free is None and len(self._lanes) < self._n_parallel:
            free = Lane(self._bench, self._bench.take_sequence())
            self._lanes.append(free)
        return free

    def _next_work(self) -> Work[K] | None:
        """Take jobs until one can be done; None if there is none now."""
        while self._more:
            try:
                job = next(self._jobs)
            except StopIteration:
                self._more = False
                break
            if job is None:
                break
            try:
                work = Work(job, self._bench, self._limit)
            except EdgeError as error:
                self._results.append(Refused(job.key, error))
                continue
            try:
                check_room(work.prompt, self._limit)
            except ContextFullError as error:
                work.close()
                self._results.append(Refused(job.key, error))
                continue
            return work
        return None

    def _make_room(self, n_cells: int) -> bool:
        """See that `n_cells` more will be free; what lanes without work hold is given up for that."""
        promised = sum(lane.outstanding for lane in self._lanes)
        for lane in self._lanes:
            if self._bench.n_free() - promised >= n_cells:
                return True
            if lane.work is None or not lane.work.begun:
                lane.cut(0)
        return self._bench.n_free() - promised >= n_cells

    def _begin(self) -> None:
        """Have new work take over what other lanes hold of its prompt.

        One whose picture another lane is just about to read waits for that.
        """
        for lane in self._lanes:
            work = lane.work
            if work is None or work.begun:
                continue
            self._bench.prepare(self._n_parallel * (work.prompt.n_cells + _FOR_ANSWER))
            keys = work.prompt.keys
            donor = max([lane, *self._lanes], key=lambda other: n_shared(other, keys))
            n_now = n_shared(donor, keys)
            soon = max((_n_common(other, work) for other in self._lanes if other is not lane), default=0)
            if not any(isinstance(key, bytes) for key in keys[n_now:soon]):
                lane.begin(donor)

    # --- what is read

    def _read_pictures(self) -> None:
        """Encode and read the picture before which each lane stands."""
        group: list[tuple[Lane[K], VisionPiece]] = []
        n_batch, n_tokens = self._bench.context(0).n_batch, 0
        for lane in list(self._lanes):
            piece = self._encoded(lane)
            if piece is None:
                continue
            if group and n_tokens + len(piece.embeddings) > n_batch:
                self._read_group(group)
                group, n_tokens = [], 0
            group.append((lane, piece))
            n_tokens += len(piece.embeddings)
        if group:
            self._read_group(group)

    def _encoded(self, lane: Lane[K]) -> VisionPiece | None:
        """Give the picture before which a lane stands, encoded; None if it stands before none."""
        pending, work = lane.pending(), lane.work
        if work is None or not work.begun or not pending or isinstance(pending[0], int):
            return None
        digest = pending[0]
        if not self._bench.has_encoded(digest):
            self._watch(Step("encode", (work.key,)))
        try:
            with clock(work.run.seconds, "encode"):
                embeddings = self._bench.encode(work.prompt.visions[digest])
        except MediaError as error:
            self._end(lane, Refused(work.key, error))
            return None
        return VisionPiece(embeddings, work.prompt.grid(digest), lane.number, lane.occupants.position)

    def _read_group(self, group: Sequence[tuple[Lane[K], VisionPiece]]) -> None:
        pieces = [piece for _, piece in group]
        context = self._ready([lane for lane, _ in group], sum(len(piece.embeddings) for piece in pieces))
        started = time.perf_counter()
        context.read_visions(pieces)
        context.wait()
        share = (time.perf_counter() - started) / sum(len(piece.embeddings) for piece in pieces)
        for lane, piece in group:
            if lane.work is not None:
                lane.work.run.seconds.prefill += share * len(piece.embeddings)
                lane.append(lane.work.prompt.entry(lane.pending()[0]))

    def _read_text(self) -> None:
        """Read text in one batch, and go on with the answers whose turn it is."""
        pieces = self._text_pieces()
        if not pieces:
            return
        n_tokens = sum(len(piece.tokens) for _, piece in pieces)
        answering = all(lane.work is not None and lane.work.next_token is not None for lane, _ in pieces)
        context = self._ready([lane for lane, _ in pieces], n_tokens, "decode" if answering else "prefill")
        started = time.perf_counter()
        context.read_text([piece for _, piece in pieces])
        context.wait()
        share = (time.perf_counter() - started) / n_tokens
        row = -1
        for lane, piece in pieces:
            row += len(piece.tokens)
            self._note(lane, piece, share)
            if piece.n_logits:
                self._choose(lane, context, row)

    def _text_pieces(self) -> list[tuple[Lane[K], TextPiece]]:
        """Collect a batch: a token of each answer first, then what is to be read before them."""
        n_left = self._bench.context(0).n_batch
        pieces: list[tuple[Lane[K], TextPiece]] = []
        lanes = [lane for lane in self._lanes if lane.work is not None and lane.work.begun]
        for lane in sorted(lanes, key=lambda lane: lane.work is None or lane.work.next_token is None):
            tokens = _next_tokens(lane)[:n_left]
            if tokens:
                last = len(tokens) >= len(lane.pending())
                pieces.append((lane, TextPiece(tokens, lane.number, lane.occupants.position, int(last))))
                n_left -= len(tokens)
        return pieces

    def _ready(
        self, lanes: Sequence[Lane[K]], n_cells: int, kind: Literal["prefill", "decode"] = "prefill"
    ) -> Context:
        """Tell what is about to be read, and give a context that has the cells for it."""
        library().check_cancelled()
        self._watch(Step(kind, tuple(lane.work.key for lane in lanes if lane.work is not None)))
        return self._bench.context(self._bench.pool.n_used + n_cells)

    def _note(self, lane: Lane[K], piece: TextPiece, share: float) -> None:
        if lane.work is None:
            return
        seconds = lane.work.run.seconds
        if lane.work.next_token is None:
            seconds.prefill += share * len(piece.tokens)
        else:
            seconds.decode += share
        for token in piece.tokens:
            lane.append(Entry(token))

    # --- answers

    def _choose(self, lane: Lane[K], context: Context, row: int) -> None:
        work = lane.work
        if work is None:
            return
        try:
            with clock(work.run.seconds, "decode"):
                goes_on = work.choose(context.handle, row)
        except EngineError as error:  # of its grammar or logits
            self._end(lane, Refused(work.key, error))
            return
        if not goes_on:
            self._end(lane, work.completed())

    def _end(self, lane: Lane[K], result: Completed[K] | Refused[K]) -> None:
        """Free a lane, which keeps what it has read of its prompt, for whoever shares it."""
        if lane.work is not None:
            lane.work.close()
            if lane.work.begun:
                lane.cut(min(len(lane.occupants.entries), len(lane.work.prompt.keys)))
            lane.work = None
        self._lanes.remove(lane)
        self._lanes.append(lane)
        self._results.append(result)

    def _give_up(self) -> None:
        """End everything with what there is of it."""
        self._more = False
        for lane in list(self._lanes):
            if lane.work is not None:
                self._end(lane, lane.work.completed())
        if self._waiting is not None:
            self._waiting.close()
            self._results.append(self._waiting.completed())
            self._waiting = None

    def _close(self) -> None:
        """Give everything back, whether all is done or not."""
        if self._waiting is not None:
            self._waiting.close()
        for lane in self._lanes:
            if lane.work is not None:
                lane.work.close()
            lane.cut(0)
            self._bench.give_back(lane.number)


def _next_tokens(lane: Lane[K]) -> list[int]:
    """Give what text a lane can read now: up to a picture, or the latest token of its answer."""
    if lane.work is not None and lane.work.next_token is not None:
        return [lane.work.next_token]
    return [
        key for key in takewhile(lambda key: isinstance(key, int), lane.pending()) if isinstance(key, int)
    ]


def _n_common(lane: Lane[K], work: Work[K]) -> int:
    """Count the entries that the prompts of a lane which is reading and of `work` begin with."""
    if lane.work is None or not lane.work.begun:
        return 0
    pairs = zip(lane.work.prompt.keys, islice(work.prompt.keys, len(work.prompt.keys) - 1), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
