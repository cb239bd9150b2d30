"""The records in a file that was written before there was a journal of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qwen3vl_edge.captions.modes import Holding
from qwen3vl_edge.captions.record import Format, csv_header, path_and_caption
from qwen3vl_edge.errors import JournalError

__all__ = ["FoundLine", "found_lines"]

_LIMIT_BYTES = 16 << 20  # of a record; what is longer is none


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A record: of which file, what it holds, and its place in bytes."""

    path: Path
    holding: Holding
    at: int
    n_bytes: int


def found_lines(file: BinaryIO, form: Format, where: str) -> Iterator[FoundLine]:
    """Give the records of `file`, one at a time.

    Raises:
        JournalError: Something in it is no record, or the last one is cut off.
    """
    at = 0
    if form == "csv":
        header = file.readline(_LIMIT_BYTES)
        if header.rstrip(b"\r\n") != csv_header().rstrip(b"\r\n"):
            raise JournalError(f"{where}: its columns are not those of captions; name another file")
        at = len(header)
    for number, raw in enumerate(_lines(file, form), 1):
        place = f"{where}, record {number}"
        if not raw.endswith(b"\n"):
            raise JournalError(f"{place}: cut off, or too long; mend or remove it, or name another file")
        path, caption = path_and_caption(raw, form, place)
        holding: Holding = "nothing" if caption is None else "caption" if caption.strip() else "empty"
        yield FoundLine(Path(path), holding, at, len(raw))
        at += len(raw)


def _lines(file: BinaryIO, form: Format) -> Iterator[bytes]:
    while raw := file.readline(_LIMIT_BYTES):
        # RFC 4180: within quotes a line end is part of the cell, and a quote there is written twice
        while form == "csv" and raw.count(b'"') % 2 and len(raw) < _LIMIT_BYTES:
            more = file.readline(_LIMIT_BYTES)
            if not more:
                break
            raw += more
        yield raw
