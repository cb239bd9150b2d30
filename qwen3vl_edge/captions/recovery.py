"""What to do when a worker has ended before its time."""

from dataclasses import dataclass

from qwen3vl_edge.captions.events import Patience, Restarted
from qwen3vl_edge.captions.flight import Flight
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.wire import Fault
from qwen3vl_edge.errors import EngineError, GGUFError, UsageError

__all__ = ["Failure", "Recovery"]

_CAUTIOUS = 4  # sequences, where a worker ended before it knew how many are best


@dataclass(frozen=True, slots=True)
class Failure:
    """How a worker ended.

    Args:
        reason: One line.
        opened: It had opened the model.
        fault: What it said itself, if it did.
        killed: Somebody ended it: the system, most likely, because memory ran out.
        suspects: The numbers of the requests that may be why.
    """

    reason: str
    opened: bool
    fault: Fault | None
    killed: bool
    suspects: tuple[int, ...]

    @property
    def by_memory(self) -> bool:
        """Whether there was too little memory, as far as one can tell."""
        return self.killed if self.fault is None else self.fault.kind == "memory"


class Recovery:
    """Decides how to go on; ``n_parallel`` is how many sequences the next worker runs, None: it measures."""

    def __init__(self, n_parallel: int | None, patience: Patience) -> None:
        self.n_parallel = n_parallel
        self._patience = patience
        self._identity: str | None = None
        self._n_starts = self._n_crashed = 0

    def opened(self, identity: str) -> None:
        """Note which model a worker has opened.

        Raises:
            EngineError: It is not the one that the workers before it had.
        """
        if self._identity not in {None, identity}:
            raise EngineError("the model's files have changed since the run began; start it again")
        self._identity = identity

    def landed(self, outcome: Outcome) -> None:
        """Note that a worker has got somewhere."""
        self._n_starts = 0
        if outcome.status == "done":
            self._n_crashed = 0

    def after(self, failure: Failure, flight: Flight) -> tuple[Restarted, list[Outcome]]:
        """Take back what is in `flight`; gives the outcomes of those that are set aside.

        Raises:
            UsageError, GGUFError: The worker refuses the settings or the model's files.
            EngineError: It cannot open the model, or no file gets through any more.
        """
        self._give_up_if_refused(failure)
        suspects = failure.suspects if failure.opened else ()
        halved = failure.by_memory and self._halve()
        if halved and failure.killed:
            suspects = ()  # nobody knows whose memory it was
        elif not suspects and not halved:
            self._count_start(failure)
        elif self.n_parallel is None:
            self.n_parallel = _CAUTIOUS
        outcomes = [self._set_aside(request, failure) for request in flight.recall(suspects)]
        return Restarted(failure.reason, suspects, self.n_parallel), outcomes

    def check_crashes(self) -> None:
        """Check that it is still files that are set aside.

        Raises:
            EngineError: It is all of them.
        """
        if self._n_crashed >= self._patience.n_crashed:
            raise EngineError(
                f"the last {self._n_crashed} files all ended the worker; it is not the files: is the device "
                "in order (`qwen3vl-edge devices`), is there memory? --device cpu may help"
            )

    def _give_up_if_refused(self, failure: Failure) -> None:
        match failure.fault:
            case Fault(kind="usage", error=error):
                raise UsageError(error)
            case Fault(kind="files", error=error):
                raise GGUFError(error)
            case Fault(kind="engine", error=error) if not failure.opened:
                raise EngineError(error)
            case Fault(kind="memory", error=error) if not failure.opened and self.n_parallel == 1:
                raise EngineError(error)

    def _halve(self) -> bool:
        """Run half as many sequences from now on; False if it is one already."""
        n = 2 * _CAUTIOUS if self.n_parallel is None else self.n_parallel
        self.n_parallel = max(1, n // 2)
        return n > 1

    def _count_start(self, failure: Failure) -> None:
        self._n_starts += 1
        if self._n_starts >= self._patience.n_starts:
            raise EngineError(
                f"the worker ended {self._n_starts} times in a row before it got to a file: {failure.reason}"
            )

    def _set_aside(self, request: Request, failure: Failure) -> Outcome:
        self._n_crashed += 1
        return Outcome(request.number, "crashed", error=f"the worker ended over it, twice: {failure.reason}")
