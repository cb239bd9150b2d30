"""A JSONL or CSV file: one line an item, added at the end, at a place that the journal has set before."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from qwen3vl_edge.captions.dead_lines import DeadLines
from qwen3vl_edge.captions.found_lines import found_lines
from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.modes import JOINING, Holding, Mode
from qwen3vl_edge.captions.outbox import Outbox
from qwen3vl_edge.captions.record import Format, Record, csv_header, line, path_and_caption
from qwen3vl_edge.captions.sidecars import sync_folders
from qwen3vl_edge.captions.sink import Unwritten
from qwen3vl_edge.captions.values import Item
from qwen3vl_edge.errors import JournalError

__all__ = ["RecordFile"]

_COPY_BYTES = 1 << 20


class RecordFile:
    """The file `path`, with one record an item; `close` leaves no replaced ones in it."""

    def __init__(self, journal: Journal, path: Path, form: Format, mode: Mode, separator: str | None) -> None:
        """Take the file up where the last run left it, or begin it.

        A file of which the journal knows nothing is read: what it has a caption for counts as captioned.

        Raises:
            JournalError: It cannot be written, holds something else than records, or was changed meanwhile.
        """
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._real = Path(os.path.realpath(path))
        self._draft = self._real.with_name(f".{self._real.name}.part")
        self._form, self._mode, self._separator = form, mode, separator
        self._outbox = Outbox(journal, b"file " + journal.keys.key(path))
        self._dead = DeadLines(self._outbox)
        self._has_written = False  # before that, a part of what is to be written may be there already
        self._keys = journal.keys
        if path.exists() and not path.is_file():
            raise JournalError(f"{path}: not a regular file; name another one")
        with self._plain_errors():
            self._take_up(dry=journal.is_trial)
        journal.commit()

    def holding(self, item: Item, key: bytes) -> Holding:
        """Tell what the file holds for an item."""
        held = self._outbox.held(key)
        return held.holding if held else "nothing"

    def existing(self, item: Item, key: bytes) -> str:
        """Give the caption in the record of an item, "" if there is none.

        Raises:
            JournalError: The file cannot be read, or the record is damaged.
        """
        held = self._outbox.held(key)
        if held is None:
            return ""
        raw = held.content
        if raw is None:
            with self._plain_errors(), self._real.open("rb") as file:
                file.seek(held.at)
                raw = file.read(held.n_bytes)
        return path_and_caption(raw, self._form, str(self._path))[1] or ""

    def refusal(self, item: Item, key: bytes) -> str | None:
        """Tell why an item cannot have a record: each can."""
        return None

    def release(self, key: bytes) -> None:
        """Do nothing: nothing is reserved."""

    def stage(self, item: Item, key: bytes, record: Record) -> None:
        """Note the record of an item, to be written; one of an error replaces no caption."""
        if record.error is not None:
            if self.holding(item, key) == "nothing":
                self._outbox.put_line(key, "nothing", line(record, self._form), keep=False)
            return
        existing = self.existing(item, key) if self._mode in JOINING else ""
        if existing:
            record = record.joined_to(existing, self._mode, self._separator)
        holding: Holding = "caption" if record.text.strip() else "empty"
        self._outbox.put_line(key, holding, line(record, self._form), keep=bool(existing))

    def restore(self, item: Item, key: bytes, record: Record) -> None:
        """Note the record of an item that was captioned before; what is there is what was written then."""
        if self.holding(item, key) == "nothing":
            self.stage(item, key, record)

    def write(self) -> Iterator[Unwritten]:
        """Write what is noted and committed; there is nothing that one item alone could be refused for.

        Raises:
            JournalError: The file cannot be written, or was changed meanwhile.
        """
        for batch in self._outbox.pending():
            with self._plain_errors():
                # what is missing would be filled with zeros, what is there too much written over
                self._check_size(batch[0].at, batch[0].at if self._has_written else self._outbox.end)
                _write_at(self._real, [(pending.at, pending.content) for pending in batch])
            self._outbox.cross_out(batch)
        self._has_written = True
        return iter(())

    def close(self) -> None:
        """Remove replaced records: the file is written anew without them, and takes the place.

        Raises:
            JournalError: The disk has no room for that: they stay until the next run.
        """
        if not self._dead.n_bytes:
            return
        with self._plain_errors():
            n_bytes = self._copy_living()
            self._dead.begin_swap(n_bytes)
            self._finish_swap()

    def _take_up(self, *, dry: bool) -> None:
        if self._dead.swap and dry:
            return  # the file may be the old or the new one: which, the next run finds out
        if self._dead.swap:
            self._finish_swap()
        if self._outbox.is_new or not self._real.exists():
            if not self._outbox.is_new:
                self.notes = (f"{self._path} is gone: what the journal has of it is written again",)
                self._outbox.forget_all()
            self._begin(dry=dry)
        else:
            self._check_size(self._outbox.written_end, self._outbox.end)

    def _begin(self, *, dry: bool) -> None:
        """Begin the file, or read what another program, or a run without this journal, has begun."""
        header = csv_header() if self._form == "csv" else b""
        if self._is_begun(header):
            if not dry:
                _write_at(self._real, [(0, header)])
                sync_folders([self._real.parent])
            self._outbox.set_end(len(header))
            return
        with self._real.open("rb") as file:
            for found in found_lines(file, self._form, str(self._path)):
                self._outbox.note_line(self._keys.key(found.path), found.holding, found.at, found.n_bytes)
            self._outbox.set_end(file.tell())

    def _is_begun(self, header: bytes) -> bool:
        """Tell whether there is nothing in the file but its `header`, or a part of it."""
        if not self._real.exists():
            return True
        with self._real.open("rb") as file:
            return header.startswith(file.read(len(header) + 1))

    def _check_size(self, least: int, most: int) -> None:
        size = self._real.stat().st_size
        if not least <= size <= most:
            raise JournalError(
                f"{self._path}: changed by another program ({size} bytes, not {most}); "
                "move it away to have all of it written again, or move the journal "
                f"{self._outbox.where} away to go on from what the file holds now"
            )

    def _copy_living(self) -> int:
        """Write the lines that are not dead beside the file; returns how many bytes they are."""
        with suppress(FileNotFoundError):
            self._draft.unlink()
        with self._real.open("rb") as source, self._draft.open("xb") as target:
            for at, n_bytes in chain(self._dead, [(self._outbox.end, 0)]):
                while (left := at - source.tell()) > 0:
                    target.write(source.read(min(left, _COPY_BYTES)))
                source.seek(at + n_bytes)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        self._draft.chmod(stat.S_IMODE(self._real.stat().st_mode))
        return size

    def _finish_swap(self) -> None:
        if self._draft.exists():
            self._draft.replace(self._real)
            sync_folders([self._real.parent])
        self._dead.end_swap()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(
                f"{self._path}: cannot be written ({error.strerror}); once it can, run the same command "
                "again: it goes on where it stopped"
            ) from error


def _write_at(path: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Put each piece into the file, from its byte on; they are on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        for at, content in pieces:
            os.lseek(descriptor, at, os.SEEK_SET)
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
