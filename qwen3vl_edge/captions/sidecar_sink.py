"""Captions in text files beside the pictures, as kohya, OneTrainer and TagGUI read: ``a.jpg``, ``a.txt``."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.modes import JOINING, Holding, Mode, joined
from qwen3vl_edge.captions.outbox import Outbox, Pending
from qwen3vl_edge.captions.record import Record
from qwen3vl_edge.captions.sidecars import holding, read_sidecar, sidecar_of, sync_files, write_sidecar
from qwen3vl_edge.captions.sink import Unwritten
from qwen3vl_edge.captions.values import Item
from qwen3vl_edge.clips import CLIP_SUFFIXES
from qwen3vl_edge.errors import MediaError, UsageError
from qwen3vl_edge.images import IMAGE_SUFFIXES

__all__ = ["SidecarSink"]

# Waiting for the disk at each file would take longer than all the rest; after a while the system has
# written most of them by itself. The journal, which is on the disk, has what a power cut takes meanwhile.
_MOST_UNSURE = 2000
_LONGEST_UNSURE_S = 30.0

# with which text would be written over pictures that lie beside others of the same name
_OF_MEDIA = IMAGE_SUFFIXES | CLIP_SUFFIXES


class SidecarSink:
    """Text files with the suffix `suffix`; several captions of one picture are lines of one file.

    The text is UTF-8 without an end of line, as tag editors take each blank for a part of the last tag.
    Where ``a.jpg`` and ``a.png`` lie in one folder, the first one has ``a.txt``; the other is refused.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, journal: Journal, suffix: str, mode: Mode, separator: str | None) -> None:
        """Find the files' part of the journal.

        Raises:
            UsageError: The suffix is none.
            JournalError: The journal is damaged or cannot be written.
        """
        if not suffix.startswith(".") or suffix == "." or {os.sep, "/", "\0"} & set(suffix):
            raise UsageError(f"{suffix!r} is no suffix of text files; give one such as .txt or .caption")
        if suffix.lower() in _OF_MEDIA:
            raise UsageError(f"{suffix!r} is a suffix of pictures and clips; give one such as .txt")
        self._suffix, self._mode, self._separator = suffix, mode, separator
        self._keys = journal.keys
        self._outbox = Outbox(journal, b"sidecar " + os.fsencode(suffix))
        self._outbox.doubt_unsure()
        self._unsure: list[Pending] = []
        self._sure_s = time.monotonic()
        self._reserved: dict[Path, bytes] = {}
        self._places: dict[bytes, Path] = {}

    def holding(self, item: Item, key: bytes) -> Holding:
        """Tell what the text file of an item holds.

        Raises:
            MediaError: It cannot be read, or is the item itself or another one's.
        """
        return holding(self._place(item, key))

    def existing(self, item: Item, key: bytes) -> str:
        """Give what the text file of an item says."""
        return read_sidecar(sidecar_of(item.path, self._suffix))

    def refusal(self, item: Item, key: bytes) -> str | None:
        """Reserve the text file for an item; it may be another's, or not be text that can be joined."""
        try:
            place = self._place(item, key)
            if self._mode in JOINING:
                read_sidecar(place)
        except MediaError as error:
            return str(error)
        self._reserved[place] = key
        self._places[key] = place
        return None

    def release(self, key: bytes) -> None:
        """Give a reserved text file back."""
        place = self._places.pop(key, None)
        if place is not None:
            self._reserved.pop(place, None)

    def stage(self, item: Item, key: bytes, record: Record) -> None:
        """Note the text of an item's file; an error is no caption."""
        if record.error is not None:
            return
        place = sidecar_of(item.path, self._suffix)
        text = record.text
        if self._mode in JOINING:
            text = joined(self._mode, read_sidecar(place), text, self._separator)
        self._put(key, place, text.encode("utf-8", "replace"))

    def restore(self, item: Item, key: bytes, record: Record) -> None:
        """Note the same text again, or what is new if there was none."""
        held = self._outbox.held(key)
        if held is None or held.content is None:
            self.stage(item, key, record)
        else:
            self._put(key, sidecar_of(item.path, self._suffix), held.content)

    def write(self) -> Iterator[Unwritten]:
        """Write the text files, each whole or not at all."""
        unwritten: list[Unwritten] = []
        for batch in self._outbox.pending():
            unwritten += [fault for fault in map(self._write, batch) if fault]
            self._outbox.note_unsure(batch)
            self._unsure += [replace(pending, content=b"") for pending in batch]
        for fault in unwritten:
            self._outbox.forget(fault.key)
        if len(self._unsure) >= _MOST_UNSURE or time.monotonic() - self._sure_s >= _LONGEST_UNSURE_S:
            self.close()
        return iter(unwritten)

    def close(self) -> None:
        """Make sure that no power cut takes back what is written."""
        sync_files(pending.place for pending in self._unsure if pending.place)
        self._outbox.cross_out(self._unsure)
        self._unsure = []
        self._sure_s = time.monotonic()

    def _place(self, item: Item, key: bytes) -> Path:
        """Give the text file of an item, which may be itself or another's.

        What an earlier run has written for another one is no caption of this one, in any mode.
        """
        picture = self._keys.path(key)
        place = sidecar_of(picture, self._suffix)
        if place == picture:
            raise MediaError(f"{item.path}: its captions would be written over it; choose another suffix")
        for owner in (self._reserved.get(place, key), *self._outbox.owners(place)):
            other = self._keys.path(owner)
            if owner != key and other.exists():
                raise MediaError(
                    f"{item.path}: {place.name} belongs to {other.name} already; rename one, or use -o FILE"
                )
        return place

    def _put(self, key: bytes, place: Path, content: bytes) -> None:
        self._outbox.put_file(key, "caption" if content.strip() else "empty", place, content)

    def _write(self, pending: Pending) -> Unwritten | None:
        if pending.place is None:
            return None
        try:
            write_sidecar(pending.place, pending.content)
        except MediaError as error:
            return Unwritten(pending.key, str(error))
        return None
