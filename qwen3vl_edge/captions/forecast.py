"""What a run would do, and how long that takes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.captions.decisions import Ask, Refuse, Restore, Skip, decide
from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.journal_runs import look_back, pace
from qwen3vl_edge.captions.run_events import SkipReason
from qwen3vl_edge.captions.settings import RunSettings
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Item

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be done, in items.

    ``pictures`` and ``clips`` would be captioned, ``restored`` written again without the model,
    ``refused`` fail without it. ``seconds`` is what the model would take, by what runs took that the
    journal knows; None: it knows of none with this model.
    """

    pictures: int
    clips: int
    restored: int
    refused: int
    skipped: Counter[SkipReason]
    seconds: float | None


def forecast(
    items: Iterable[Item], settings: RunSettings, journal: Journal, sinks: Sequence[Sink]
) -> Forecast:
    """Decide about all `items` as a run would, with a `journal` opened for a trial: nothing is changed.

    Raises:
        JournalError: The journal is damaged.
    """
    asked: Counter[str] = Counter()
    skipped: Counter[SkipReason] = Counter()
    others: Counter[type] = Counter()
    look_back(journal, settings)
    folder, reserved = Path(), list[bytes]()
    for item in items:
        if item.path.parent != folder:
            _release(reserved, sinks)
            folder, reserved = item.path.parent, []
        key = journal.keys.key(item.path)
        match decide(item, key, settings, journal, sinks):
            case Skip(reason):
                skipped[reason] += 1
            case Ask():
                asked[item.kind] += 1
                reserved.append(key)
            case Restore() | Refuse() as other:
                others[type(other)] += 1
    known = pace(journal, settings)
    seconds = known.seconds / known.n_items * asked.total() if known else None
    return Forecast(asked["picture"], asked["clip"], others[Restore], others[Refuse], skipped, seconds)


def _release(keys: Sequence[bytes], sinks: Sequence[Sink]) -> None:
    """Forget about a folder that is done: only files in one folder can have the same text file."""
    for key in keys:
        for sink in sinks:
            sink.release(key)
