"""A sequence of KV cells, and the job that fills it."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Generic, TypeVar

from qwen3vl_edge.errors import EngineError, UsageError
from qwen3vl_edge.runtime.answer import Answer
from qwen3vl_edge.runtime.cells import Entry, Key, Occupants
from qwen3vl_edge.runtime.engine import Generated, Reasoned, Seconds
from qwen3vl_edge.runtime.jobs import Completed, Job
from qwen3vl_edge.runtime.run import Run, open_sampler
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Lane", "Work", "n_shared"]

K = TypeVar("K")


class Work(Generic[K]):
    """A job on its way.

    Args:
        job: What is asked.
        bench: Where it is done.
        limit: Cells that the job may fill, alone.

    Raises:
        EdgeError: The job cannot be done.
    """

    def __init__(self, job: Job[K], bench: Workbench, limit: int) -> None:
        if job.options.n_logprobs is not None:
            raise UsageError("log-probabilities of many prompts at once are not listed; ask one by one")
        self.key, self._limit = job.key, limit
        self.run = Run(bench.tokenizer.prompt(job.parts), job.options, Seconds())
        self.begun = False  # its lane holds the beginning of its prompt and nothing else
        self.next_token: int | None = None  # chosen, not yet read
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._model = bench.model
        with ExitStack() as opened:
            self._sampler = open_sampler(bench, self.run)
            opened.callback(self._sampler.close)
            self._answer = Answer(
                bench.model, self._sampler, job.options, thinks=self.run.prompt.thinks, room=self._room
            )
            self._opened = opened.pop_all()
        self.n_cells = 0  # that its lane holds

    @property
    def prompt(self) -> TokenizedPrompt:
        """What is to be read."""
        return self.run.prompt

    @property
    def claim(self) -> int:
        """Cells that it may come to fill."""
        return min(self.prompt.n_cells + self.run.options.max_tokens, self._limit)

    def choose(self, context_handle: object, row: int) -> bool:
        """Take the next token from the logits at `row` of the last batch; tells whether the answer goes on.

        Raises:
            EngineError: No token can be next.
        """
        token = self._answer.choose(lambda: self._sampler.choose(context_handle, row))
        match self._answer.take(token, None):
            case Generated(text=text):
                self._text.append(text)
            case Reasoned(text=text):
                self._reasoning.append(text)
        self.run.follow(self._answer)
        self.next_token = token
        return self._answer.stop_reason is None

    def completed(self) -> Completed[K]:
        """Give what there is of the answer."""
        return Completed(self.key, "".join(self._text), "".join(self._reasoning), self.run.finished())

    def close(self) -> None:
        """Free what is native."""
        self._opened.close()

    def _room(self) -> int:
        return self._limit - self.n_cells


class Lane(Generic[K]):
    """Sequence `number`; without work it keeps what it holds until that is in the way."""

    def __init__(self, bench: Workbench, number: int) -> None:
        self.number, self._bench = number, bench
        self.occupants = Occupants(bench.pool)
        self.work: Work[K] | None = None

    @property
    def outstanding(self) -> int:
        """Cells that its work may still fill."""
        if self.work is None:
            return 0
        return self.work.claim - (self.occupants.n_cells if self.work.begun else 0)

    def pending(self) -> Sequence[Key]:
        """Give what of the prompt is still to be read."""
        return () if self.work is None else self.work.prompt.keys[len(self.occupants.entries) :]

    def cut(self, n_entries: int) -> None:
        """Keep the first `n_entries`, in the cells too."""
        self.occupants.cut(n_entries)
        self._bench.empty(self.number, self.occupants.position)

    def begin(self, donor: "Lane[K]") -> None:
        """Take over from `donor` what the prompt shares with what it holds; the last token is read anew.

        Raises:
            EngineError: There is no work.
        """
        if self.work is None:
            raise EngineError("a lane without work cannot begin")
        n_kept = min(n_shared(donor, self.work.prompt.keys), len(self.work.prompt.keys) - 1)
        if donor is not self:
            self.cut(0)
            if n_kept:
                self._bench.context(0).copy(donor.number, self.number)
                self.occupants = donor.occupants.fork()
        self.cut(n_kept)
        self.work.begun = True
        self.work.run.n_reused = self.work.n_cells = self.occupants.n_cells

    def append(self, entry: Entry) -> None:
        """Note that `entry` was read."""
        self.occupants.append(entry)
        if self.work is not None:
            self.work.n_cells = self.occupants.n_cells


def n_shared(lane: Lane[K], keys: Sequence[Key]) -> int:
    """Count the entries that `lane` holds of the beginning of a prompt."""
    return lane.occupants.n_common(keys)
