"""What a run tells while it runs, and what it says at its end."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from qwen3vl_edge.captions.record import Record
from qwen3vl_edge.captions.values import Item

__all__ = ["Noted", "Passed", "Recorded", "RunEvent", "SkipReason", "Summary"]

SkipReason = Literal["done before", "has a caption", "failed before", "found twice"]
"""`done before`: under these settings; `has a caption`: and the mode leaves it; `failed before`: under
these settings, and `RunSettings.retry_failed` would take it again."""

_MOST_FAILURES = 20  # that a summary names


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of `item` is safe in the journal and in all outputs.

    ``is_restored``: the journal had its caption, and the model was not asked.
    """

    item: Item
    record: Record
    is_restored: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """Nothing is done about `item`."""

    item: Item
    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should know, one line."""

    text: str


RunEvent = Recorded | Passed | Noted


@dataclass(slots=True)
class Summary:
    """What a run has done, in items.

    ``restored`` were captioned before and are written again without the model. ``interrupted`` were begun
    and are as they were; `is_whole` tells that all items were looked at. ``failures`` are the first ones'
    error lines.
    """

    done: int = 0
    restored: int = 0
    failed: int = 0
    crashed: int = 0
    interrupted: int = 0
    is_whole: bool = False
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def all_captioned(self) -> bool:
        """Tell whether no item is left without a caption."""
        return self.is_whole and not (
            self.failed or self.crashed or self.interrupted or self.skipped["failed before"]
        )

    def count(self, event: RunEvent) -> None:
        """Count what `event` tells."""
        match event:
            case Passed(reason=reason):
                self.skipped[reason] += 1
            case Recorded(is_restored=True, record=Record(error=None)):
                self.restored += 1
            case Recorded(record=Record(status="done")):
                self.done += 1
            case Recorded(record=record):
                self.crashed += record.status == "crashed"
                self.failed += record.status == "failed"
                if len(self.failures) < _MOST_FAILURES:
                    self.failures.append(record.error or "")
