"""What captions are written to: one protocol for text files beside pictures and for files of records."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from qwen3vl_edge.captions.modes import Holding
from qwen3vl_edge.captions.record import Record
from qwen3vl_edge.captions.values import Item

__all__ = ["Sink", "Unwritten"]


@dataclass(frozen=True, slots=True)
class Unwritten:
    """An item whose caption could not be written, and why."""

    key: bytes
    error: str


class Sink(Protocol):
    """One place that captions go to. Items are told by their keys in the journal.

    What is staged is part of the journal's transaction; `write`, after its commit, writes it, and may do
    so twice: the result is the same.
    """

    notes: tuple[str, ...]
    """What the user should know of how the last run left it."""

    def holding(self, item: Item, key: bytes) -> Holding:
        """Tell what there is for an item.

        Raises:
            MediaError: That cannot be found out for this item.
        """

    def existing(self, item: Item, key: bytes) -> str:
        """Give the caption that there is for an item, "" for none.

        Raises:
            MediaError: It cannot be read.
        """

    def refusal(self, item: Item, key: bytes) -> str | None:
        """Reserve the place for an item; returns why that cannot be, None if it is done."""

    def release(self, key: bytes) -> None:
        """Give a reserved place back: its item is staged, or will not be."""

    def stage(self, item: Item, key: bytes, record: Record) -> None:
        """Note what shall be written of an item.

        Raises:
            MediaError: What is there already cannot be read, so that nothing can be joined to it.
            JournalError: The journal cannot be written.
        """

    def restore(self, item: Item, key: bytes, record: Record) -> None:
        """Note again what was written, or was to be, of an item that was captioned before.

        Raises:
            MediaError, JournalError: As `stage`.
        """

    def write(self) -> Iterator[Unwritten]:
        """Write all that is noted and committed; returns what could not be, for reasons of its own.

        Raises:
            JournalError: Nothing can be written any more.
        """

    def close(self) -> None:
        """Bring what was written into its final form.

        Raises:
            JournalError: It cannot be written.
        """
