"""From the journal to the outputs: kept first, written then, told last; a few items at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.modes import wants
from qwen3vl_edge.captions.record import Record
from qwen3vl_edge.captions.run_events import Recorded, RunEvent
from qwen3vl_edge.captions.settings import RunSettings
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Item, Outcome
from qwen3vl_edge.errors import MediaError

__all__ = ["Outlet"]

_MOST_ITEMS = 50
_MOST_SECONDS = 0.5


@dataclass(slots=True)
class _Waiting:
    event: Recorded
    key: bytes


class Outlet:
    """Takes what came of items; `flush` makes it last.

    What is committed and not written when the program ends is written by the next run's first `flush`.
    """

    def __init__(
        self,
        settings: RunSettings,
        journal: Journal,
        sinks: Sequence[Sink],
        tell: Callable[[RunEvent], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._journal, self._sinks, self._tell = settings, journal, sinks, tell
        self._clock = clock
        self._waiting: dict[bytes, _Waiting] = {}
        self._flushed_s = clock()

    def holds(self, key: bytes) -> bool:
        """Tell whether the item waits to be written."""
        return key in self._waiting

    def put(self, key: bytes, item: Item, outcome: Outcome, record: Record) -> None:
        """Take what came of an item.

        Raises:
            JournalError: The journal or an output cannot be written.
        """
        self._journal.put(key, item, outcome, record, self._settings.digest)
        self._waiting[key] = _Waiting(Recorded(item, record), key)
        for sink in self._sinks:
            try:
                if record.error is not None or wants(self._settings.mode, sink.holding(item, key)):
                    sink.stage(item, key, record)
            except MediaError as error:
                self._fail(key, str(error))
            sink.release(key)
        self.tick()

    def restore(self, key: bytes, item: Item, record: Record, sinks: Sequence[Sink]) -> None:
        """Take an item whose caption the journal has, for the `sinks` that lack it.

        Raises:
            JournalError: As `put`.
        """
        self._journal.set_done(key)
        self._waiting[key] = _Waiting(Recorded(item, record, is_restored=True), key)
        for sink in sinks:
            try:
                sink.restore(item, key, record)
            except MediaError as error:
                self._fail(key, str(error))
        self.tick()

    def tick(self) -> None:
        """Flush if it is time.

        Raises:
            JournalError: As `flush`.
        """
        is_due = self._clock() - self._flushed_s >= _MOST_SECONDS
        if len(self._waiting) >= _MOST_ITEMS or (self._waiting and is_due):
            self.flush()

    def flush(self) -> None:
        """Commit what was taken, write it to the outputs, and tell it.

        Raises:
            JournalError: The journal or an output cannot be written; the next run writes what is missing.
        """
        self._journal.commit()
        for sink in self._sinks:
            for unwritten in sink.write():
                self._fail(unwritten.key, unwritten.error)
        waiting, self._waiting = self._waiting, {}
        for item in waiting.values():
            self._tell(item.event)
        self._flushed_s = self._clock()

    def _fail(self, key: bytes, error: str) -> None:
        """Note that an item's caption is not where it belongs."""
        self._journal.set_failed(key, error)
        if key in self._waiting:
            event = self._waiting[key].event
            record = replace(event.record, status="failed", error=error)
            self._waiting[key].event = replace(event, record=record)
