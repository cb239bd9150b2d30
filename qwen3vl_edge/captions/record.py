"""What is written of an item, whatever it is written to: one line of JSON or CSV, and back."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from qwen3vl_edge.captions.modes import Mode, joined
from qwen3vl_edge.captions.values import Status
from qwen3vl_edge.errors import JournalError
from qwen3vl_edge.runtime.engine import StopReason

__all__ = ["COLUMNS", "Caption", "Format", "Record", "csv_header", "line", "path_and_caption"]

Format = Literal["jsonl", "csv"]
"""JSON Lines, or RFC 4180; both UTF-8."""

COLUMNS = (
    "path",
    "caption",
    "captions",
    "error",
    "status",
    "model",
    "quantization",
    "prompt",
    "version",
    "stop_reason",
    "notes",
    "width",
    "height",
    "tokens",
    "seconds",
)
"""Of CSV files, whether empty or not; objects in JSON have the same keys, but for those without a value.

With several prompts ``caption``, ``prompt`` and ``stop_reason`` are the first one's, and ``captions`` is
an object of all captions by the prompts' names, in CSV as JSON text. ``notes`` is a list, in CSV a line
each. ``tokens`` were written by the model, ``seconds`` are those of its work.
"""


@dataclass(frozen=True, slots=True)
class Caption:
    """One finished caption: ``text`` is what is kept of ``raw``, which the model wrote to ``prompt``.

    ``name`` is the prompt's, ``prompt`` its template with the fields filled in.
    """

    name: str
    prompt: str
    raw: str
    text: str
    stop_reason: StopReason
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that is told of one item: ``captions``, or an ``error`` of one line.

    ``path`` is the file as it was found, ``width`` and ``height`` are in pixels and 0 if unknown,
    ``seconds`` is what the item took of the model's time.
    """

    path: str
    status: Status
    captions: tuple[Caption, ...]
    error: str | None
    model: str
    quantization: str
    version: str
    notes: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """What a text file beside the picture holds: the captions, each on a line of its own."""
        return "\n".join(caption.text for caption in self.captions)

    def joined_to(self, existing: str, mode: Mode, separator: str | None) -> "Record":
        """Give the record with its first caption put behind, or before, the `existing` one."""
        first, *rest = self.captions
        text = joined(mode, existing, first.text, separator)
        return replace(self, captions=(replace(first, text=text), *rest))


def line(record: Record, form: Format) -> bytes:
    r"""Give the line of `record`, with its end: ``\n`` in JSON Lines, ``\r\n`` in CSV.

    Bytes of a file name that are no text are escaped: in JSON as half a surrogate pair, which reads back
    as it was, in CSV as ``\udcXX``. A cell that begins as a formula does (``=``, ``+``, ``-``, ``@``) is
    data and left as it is: a spreadsheet must import the column as text.
    """
    values = _values(record)
    if form == "csv":
        return _csv_line(_cell(values.get(column)) for column in COLUMNS)
    text = json.dumps(values, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(values).encode() + b"\n"


def csv_header() -> bytes:
    """Give the first line of a CSV file."""
    return _csv_line(COLUMNS)


def path_and_caption(raw: bytes, form: Format, where: str) -> tuple[str, str | None]:
    """Read back what is needed of a line: the item's path, and its caption, None if it has an error.

    Raises:
        JournalError: It is no such line; named with `where`.
    """
    if form == "jsonl":
        match _parsed(raw, where):
            case {"path": str(path), "error": str()}:
                return path, None
            case {"path": str(path), "caption": str(caption)}:
                return path, caption
        raise JournalError(f"{where}: not a record of a caption; it needs path, and caption or error")
    try:
        cells = next(csv.reader([raw.decode()], strict=True), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise JournalError(f"{where}: not CSV ({error})") from error
    if len(cells) != len(COLUMNS):
        raise JournalError(f"{where}: {len(cells)} columns, not the {len(COLUMNS)} of a caption file")
    return cells[0], None if cells[COLUMNS.index("error")] else cells[1]


def _parsed(raw: bytes, where: str) -> object:
    """Read JSON, with the half surrogate pairs that stand for bytes of file names."""
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{where}: not JSON ({error})") from error
    return found


def _values(record: Record) -> dict[str, object]:
    """Give what there is to say, by column."""
    values: dict[str, object] = {"path": record.path}
    if record.error is None and record.captions:
        values["caption"] = record.captions[0].text
    else:
        values["error"] = record.error or ""
    if len(record.captions) > 1 and record.error is None:
        values["captions"] = {caption.name: caption.text for caption in record.captions}
    values |= {"status": record.status, "model": record.model, "quantization": record.quantization}
    if record.captions:
        values["prompt"] = record.captions[0].prompt
    values["version"] = record.version
    if record.captions:
        values["stop_reason"] = record.captions[0].stop_reason
    if record.notes:
        values["notes"] = list(record.notes)
    if record.width:
        values |= {"width": record.width, "height": record.height}
    if record.captions:
        values["tokens"] = sum(caption.n_tokens for caption in record.captions)
        values["seconds"] = round(record.seconds, 3)
    return values


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case dict():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "\n".join(map(str, value))
        case _:
            return str(value)


def _csv_line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "backslashreplace")
