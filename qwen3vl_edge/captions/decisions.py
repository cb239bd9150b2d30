"""What is to be done about an item: nothing, writing what is known, or asking the model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3vl_edge.captions.journal import Journal, Known
from qwen3vl_edge.captions.modes import Mode, wants
from qwen3vl_edge.captions.run_events import SkipReason
from qwen3vl_edge.captions.settings import RunSettings
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Item
from qwen3vl_edge.errors import MediaError

__all__ = ["Ask", "Decision", "Refuse", "Restore", "Skip", "decide"]


@dataclass(frozen=True, slots=True)
class Ask:
    """The model is asked; each sink has kept its place for the item."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is done."""

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Restore:
    """What the model wrote before is written to the `sinks` that lack it."""

    sinks: tuple[Sink, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The item fails without the model."""

    error: str


Decision = Ask | Skip | Restore | Refuse


def decide(
    item: Item, key: bytes, settings: RunSettings, journal: Journal, sinks: Sequence[Sink]
) -> Decision:
    """Decide what to do about `item`, whose key is `key`.

    An item that was captioned under the same settings and has the same content is not captioned again,
    but by ``overwrite`` if that was in the last whole run or before: a run that was cut off is gone on
    with, one that was not is made anew. For all others the mode decides (`modes`). Without sinks every
    item is asked about.

    Raises:
        JournalError: The journal is damaged.
    """
    try:
        known = journal.find(key)
        if known and known.run == journal.run:
            return Skip("found twice")
        if known and known.digest == settings.digest and _is_same(item, key, known, journal):
            is_old = known.status == "done" and known.run <= journal.last_whole
            if not (is_old and settings.mode == "overwrite"):
                return _known(item, key, known, settings, sinks)
        return _asked(item, key, settings, sinks)
    except MediaError as error:
        return Refuse(str(error))


def _known(item: Item, key: bytes, known: Known, settings: RunSettings, sinks: Sequence[Sink]) -> Decision:
    if known.status == "done":
        # a file emptied by hand is filled again by the mode that fills empty ones alone
        mode: Mode = "fill" if settings.mode == "fill" else "skip"
        lacking = tuple(sink for sink in sinks if wants(mode, sink.holding(item, key)))
        return Restore(lacking) if lacking else Skip("done before")
    if not settings.retry_failed:
        return Skip("failed before")
    if known.has_captions:
        return Restore(tuple(sink for sink in sinks if wants(settings.mode, sink.holding(item, key))))
    return _asked(item, key, settings, sinks)


def _asked(item: Item, key: bytes, settings: RunSettings, sinks: Sequence[Sink]) -> Decision:
    if sinks and not any(wants(settings.mode, sink.holding(item, key)) for sink in sinks):
        return Skip("has a caption")
    for sink in sinks:
        refusal = sink.refusal(item, key)
        if refusal is not None:
            for other in sinks:
                other.release(key)
            return Refuse(refusal)
    return Ask()


def _is_same(item: Item, key: bytes, known: Known, journal: Journal) -> bool:
    """Tell whether the item's content is what it was; it is read only if its time of change differs."""
    if (item.n_bytes, item.modified_ns) == (known.n_bytes, known.modified_ns):
        return True
    if item.n_bytes != known.n_bytes or not item.path.is_file():
        return False
    try:
        with item.path.open("rb") as file:
            is_same = hashlib.file_digest(file, "sha256").hexdigest() == known.content_hash
    except OSError:  # whoever reads it next says why
        return False
    if is_same:
        journal.note_stamp(key, item)
    return is_same
