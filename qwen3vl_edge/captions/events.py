"""What a supervisor tells while it runs, and how patient it is."""

from dataclasses import dataclass

from qwen3vl_edge.captions.wire import Opened, Parallel, Running, Working
from qwen3vl_edge.errors import UsageError

__all__ = ["DEFAULT_PATIENCE", "Event", "Opened", "Parallel", "Patience", "Restarted", "Running", "Working"]


@dataclass(frozen=True, slots=True)
class Restarted:
    """The worker ended, and another one begins; ``numbers`` are the requests that may be why."""

    reason: str
    numbers: tuple[int, ...]
    n_parallel: int | None


Event = Opened | Parallel | Working | Running | Restarted


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up what.

    A worker without a sign of life for ``item_s`` counts as hung, before it has opened the model only after
    ``start_s``; ``end_s`` is how long it may take to stop. ``n_starts`` workers in a row that end before
    they get to anything end the run, and so do ``n_crashed`` files in a row that had to be set aside: then
    it is not the files.

    Raises:
        UsageError: A number is out of range.
    """

    item_s: float = 600.0
    start_s: float = 600.0
    end_s: float = 7.0
    n_starts: int = 3
    n_crashed: int = 32

    def __post_init__(self) -> None:
        if not self.item_s > 0:
            raise UsageError(f"an item cannot take {self.item_s:g} s; allow more than 0")
        if not (self.start_s > 0 and self.end_s >= 0 and self.n_starts > 0 and self.n_crashed > 0):
            raise UsageError(f"out of range: {self}")


DEFAULT_PATIENCE = Patience()
