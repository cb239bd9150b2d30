"""Continuous batching: many prompts in one context, each in a lane of its own.

A round encodes and reads one picture of every lane that stands before one, then reads text in one batch:
what lanes have to read before their next picture or the answer, and the latest token of each answer. A lane
whose answer is complete takes the next job at once.

What a prompt shares with what any lane holds, be it the system prompt or a picture, is read once: its lane
takes over those cells.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeVar

from qwen3vl_edge.errors import EdgeError, EngineError, MediaError
from qwen3vl_edge.runtime.batch import TextPiece, VisionPiece
from qwen3vl_edge.runtime.cells import Entry
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step, Watch
from qwen3vl_edge.runtime.lane import Lane
from qwen3vl_edge.runtime.lanes import Lanes
from qwen3vl_edge.runtime.native import Cancelled, library
from qwen3vl_edge.runtime.run import clock
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Scheduler"]

K = TypeVar("K")

_ASK_AGAIN_S = 0.005  # later, where no job was ready and nothing runs


class Scheduler(Generic[K]):
    """Does `jobs` on `bench`, up to `n_parallel` at once; see `Engine.generate_many`."""

    def __init__(
        self, bench: Workbench, jobs: Iterator[Job[K] | None], n_parallel: int, watch: Watch[K]
    ) -> None:
        self._bench, self._watch = bench, watch
        self._lanes = Lanes(bench, jobs, n_parallel, watch)
        self._results: list[Completed[K] | Refused[K]] = []

    def run(self) -> Iterator[Completed[K] | Refused[K]]:
        """Give the results as they come; those that came in a round that then failed come before its error.

        Raises:
            EngineError: There are fewer free sequences than are wanted at once, or llama.cpp failed.
        """
        try:
            while self._lanes.more or not self._lanes.idle():
                try:
                    self._round()
                except EdgeError:
                    yield from self._results
                    raise
                yield from self._results
                self._results.clear()
        finally:
            self._lanes.close()

    def _round(self) -> None:
        try:
            library().check_cancelled()
            self._results.extend(self._lanes.admit())
            self._lanes.begin()
            if self._lanes.working():
                self._read_pictures()
                self._read_text()
            elif self._lanes.more and not self._results:
                time.sleep(_ASK_AGAIN_S)
        except Cancelled:
            library().go_on()
            self._results.extend(self._lanes.give_up())

    def _read_pictures(self) -> None:
        """Encode and read the picture before which each lane stands."""
        group: list[tuple[Lane[K], VisionPiece]] = []
        n_batch, n_tokens = self._bench.context(0).n_batch, 0
        for lane in self._lanes.working():
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
        """Collect a batch: a token of each answer, and what is to be read before others as far as it fits."""
        n_left = self._bench.context(0).n_batch
        pieces: list[tuple[Lane[K], TextPiece]] = []
        lanes = [lane for lane in self._lanes.working() if lane.work is not None and lane.work.begun]
        for lane in sorted(lanes, key=lambda lane: lane.work is None or lane.work.next_token is None):
            tokens = _next_tokens(lane)[:n_left]
            if tokens:
                last = len(tokens) >= len(lane.pending())
                pieces.append((lane, TextPiece(tokens, lane.number, lane.occupants.position, int(last))))
                n_left -= len(tokens)
        return sorted(pieces, key=lambda piece: piece[0].number)

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
        self._lanes.free(lane)
        self._results.append(result)


def _next_tokens(lane: Lane[K]) -> list[int]:
    """Give what text a lane can read now: up to a picture, or the latest token of its answer."""
    if lane.work is not None and lane.work.next_token is not None:
        return [lane.work.next_token]
    tokens: list[int] = []
    for key in lane.pending():
        if not isinstance(key, int):
            break
        tokens.append(key)
    return tokens
