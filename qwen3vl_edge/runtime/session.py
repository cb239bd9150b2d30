"""Conversations on llama.cpp: each is a sequence of KV cells, and what stands there is not read again."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.answer import Answer
from qwen3vl_edge.runtime.cells import Entry, Occupants, SavedCells
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.engine import Cost, Event, GenerateOptions, Seconds
from qwen3vl_edge.runtime.logprobs import token_logprob
from qwen3vl_edge.runtime.native import Cancelled, library
from qwen3vl_edge.runtime.run import Run, check_room, clock, open_sampler
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench
from qwen3vl_edge.sampling import GREEDY

__all__ = ["LlamaSession"]


class LlamaSession:
    """One conversation on `bench`; see `Session`.

    Args:
        bench: What the sessions of an engine share.
        number: The sequence that is this session's alone.
        occupants: What stands in its cells.
    """

    def __init__(self, bench: Workbench, number: int, occupants: Occupants | None = None) -> None:
        self._bench = bench
        self._number = number
        self._occupants = occupants or Occupants(bench.pool)
        self._n_prompts = 0  # read so far; an answer goes on only while its prompt is the last
        self._closed = False

    def cost(self, parts: Sequence[Part]) -> Cost:
        """Tell what the prompt `parts` would take; see `Session.cost`."""
        prompt = self._tokenized(parts)
        n_kept = self._n_kept(prompt)
        new = {key for key in prompt.keys[n_kept:] if isinstance(key, bytes)}
        n_encode = sum(prompt.entry(key).n_cells for key in new if not self._bench.has_encoded(key))
        reused = sum(entry.n_cells for entry in self._occupants.entries[:n_kept])
        return Cost(prompt.n_text, prompt.n_vision, reused, n_encode, self._room(n_kept))

    def next_logits(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """Read the prompt `parts` and give the logits of the token after it, shape (n_vocab,)."""
        self._read(Run(self._tokenized(parts), GenerateOptions(GREEDY), Seconds()))
        return self._context.logits().copy()

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts`; see `Engine.generate`."""
        run = Run(self._tokenized(parts), options, self._bench.first_seconds())
        with closing(open_sampler(self._bench, run)) as sampler:  # first: it refuses what cannot be
            try:
                self._read(run)
                yield from self._answer(run, sampler)
            except Cancelled:
                library().go_on()
                run.stop = "cancelled"
        yield run.finished()

    def forget(self) -> None:
        """Have read nothing."""
        self._n_prompts += 1
        self._cut(0)

    def fork(self) -> "LlamaSession":
        """Give another session that has read the same; see `Session.fork`."""
        self._check_open()
        twin = self._bench.take_sequence()
        if self._occupants.entries:
            self._bench.empty(self._number, self._occupants.position)
            self._context.copy(self._number, twin)
        return LlamaSession(self._bench, twin, self._occupants.fork())

    def save_cells(self) -> SavedCells:
        """Give what the session has read, to be kept and taken up by `restore_cells`."""
        self._check_open()
        self._bench.empty(self._number, self._occupants.position)
        context = self._context
        return SavedCells(tuple(self._occupants.entries), context.state(self._number))

    def restore_cells(self, saved: SavedCells) -> None:
        """Have read what `saved` says.

        Raises:
            ContextFullError: It has no room in this context.
            EngineError: llama.cpp does not take it.
        """
        self._check_open()
        self.forget()
        n_cells = sum(entry.n_cells for entry in saved.entries)
        context = self._bench.context(self._bench.pool.n_used + n_cells)
        context.restore(self._number, saved.state)
        for entry in saved.entries:
            self._occupants.append(Entry(entry.key, entry.n_cells, entry.n_positions))
        if context.last_position(self._number) != self._occupants.last_position:
            self.forget()
            raise EngineError("the saved state does not hold what its list says")

    def close(self) -> None:
        """Give the cells back."""
        if not self._closed:
            self.forget()
            self._closed = True
            self._bench.give_back(self._number)

    def _answer(self, run: Run, sampler: Sampler) -> Iterator[Event]:
        """Generate after the prompt of `run` has been read."""
        mine, model = self._n_prompts, self._bench.model
        answer = Answer(model, sampler, run.options, thinks=run.prompt.thinks, room=self._bench.n_free)
        while True:
            with clock(run.seconds, "decode"):
                token = answer.choose(lambda: sampler.choose(self._context.handle))
            logprob = token_logprob(model, self._context.logits(), token, run.options.n_logprobs)
            event = answer.take(token, logprob)
            run.follow(answer)
            yield event
            if answer.stop_reason:
                return
            self._check_turn(mine)
            library().check_cancelled()
            with clock(run.seconds, "decode"):
                self._read_tokens([token], logits=True)

    def _read(self, run: Run) -> None:
        """Read what is new in the prompt of `run`."""
        prompt, seconds = run.prompt, run.seconds
        n_kept = self._n_kept(prompt)
        check_room(prompt, self._room(n_kept))
        self._n_prompts += 1
        self._cut(n_kept)
        run.n_reused = self._occupants.n_cells
        n_new = prompt.n_cells - run.n_reused
        context = self._bench.context(self._bench.pool.n_used + n_new, run.options.max_tokens)
        pending: list[int] = []
        new = prompt.keys[len(self._occupants.entries) :]
        with self._bench.encoding(sum(isinstance(key, bytes) for key in new)) as task:
            for key in new:
                if isinstance(key, int):
                    pending.append(key)
                    continue
                with clock(seconds, "encode"):
                    embeddings = self._bench.encode(prompt.visions[key])
                with clock(seconds, "prefill"):
                    self._read_tokens(pending, logits=False)
                    context.read_vision(embeddings, prompt.grid(key), self._number, self._occupants.position)
                self._occupants.append(prompt.entry(key))
                pending = []
                task.advance()
        with clock(seconds, "prefill"):
            self._read_tokens(pending, logits=True)
            context.wait()

    def _read_tokens(self, tokens: Sequence[int], *, logits: bool) -> None:
        context = self._bench.context(self._bench.pool.n_used + len(tokens))
        for start in range(0, len(tokens), context.n_batch):
            piece = tokens[start : start + context.n_batch]
            last = logits and start + len(piece) == len(tokens)
            context.read_tokens(piece, self._number, self._occupants.position, logits=last)
            for token in piece:
                self._occupants.append(Entry(token))

    def _n_kept(self, prompt: TokenizedPrompt) -> int:
        """Count the entries that may stay; the last token is read in any case, for its logits."""
        return min(self._occupants.n_common(prompt.keys), len(prompt.keys) - 1)

    def _tokenized(self, parts: Sequence[Part]) -> TokenizedPrompt:
        self._check_open()
        return self._bench.tokenizer.prompt(parts)

    @property
    def _context(self) -> Context:
        return self._bench.context(0)

    def _room(self, n_kept: int) -> int:
        """Cells that a prompt which keeps so many entries may fill: what others use is theirs."""
        entries = self._occupants.entries
        kept = sum(entry.n_cells for entry in entries[:n_kept])
        freed = sum(entry.n_cells for entry in entries[n_kept:] if entry.n_owners == 1)
        return kept + self._bench.limit - (self._bench.pool.n_used - freed)

    def _cut(self, n_entries: int) -> None:
        """Keep the first `n_entries`, in the cells too."""
        self._occupants.cut(n_entries)
        self._bench.empty(self._number, self._occupants.position)

    def _check_open(self) -> None:
        if self._closed or self._bench.closed:
            raise EngineError("the engine or its session is closed; open the model again")

    def _check_turn(self, mine: int) -> None:
        if self._closed or self._bench.closed or mine != self._n_prompts:
            raise EngineError("this answer cannot go on: the engine was closed or given another prompt")
