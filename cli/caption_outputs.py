"""Options of `caption` that say where captions go, and what becomes of those that are there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwen3vl_edge.cli.sampling_options import unescape
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.captions.journal import Journal
    from qwen3vl_edge.captions.record import Format
    from qwen3vl_edge.captions.sink import Sink

__all__ = ["Outputs", "Places"]

_STDOUT = "-"
_FORMATS: "dict[str, Format]" = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the captions of a run go: text files, files of records, standard output."""

    sidecar: str | None
    files: tuple[Path, ...]
    prints: bool


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where captions go."""

    sidecar: Annotated[
        str | None,
        typer.Option(
            metavar="SUFFIX",
            help="Write a text file beside each picture: cat.jpg and cat.txt.  [default: .txt where a folder "
            "or a list is captioned and nothing else is said]",
            show_default=False,
        ),
    ] = None
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.jsonl|FILE.csv|-",
            help="Write a record of each picture into this file; - prints; repeatable.",
            show_default=False,
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print records, as JSON lines.")] = False
    mode: Annotated[
        Literal["skip", "overwrite", "append", "prepend", "fill"],
        typer.Option(
            help="What becomes of captions that are there: skip leaves them, fill those that are not empty; "
            "what was captioned with the same options is not done again, but by overwrite, once that run is "
            "over."
        ),
    ] = "skip"
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help=r"Between old and new caption; \n is a line end.  [default: a blank behind a sentence, else "
            "a comma]",
            show_default=False,
        ),
    ] = None
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take up again what failed or crashed in an earlier run.")
    ] = False
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is done and what is not.  [default: FILE.journal beside the first -o, else "
            ".qwen3vl-edge.journal in the folder]",
            show_default=False,
        ),
    ] = None

    def places(self, paths: Sequence[Path], *, listed: bool) -> Places:
        """Give where captions go.

        Args:
            paths: What is captioned.
            listed: Whether a list says what else is.

        Raises:
            UsageError: An output has no known format, is named twice, or options contradict each other.
        """
        named = [name for name in self.output or () if name != _STDOUT]
        prints = self.json or len(named) < len(self.output or ())
        for name in named:
            if Path(name).suffix.lower() not in _FORMATS:
                raise UsageError(f"-o {name}: of no known kind; name it .jsonl or .csv, or - to print")
        files = tuple(map(Path, named))
        if len({path.absolute() for path in files}) < len(files):
            raise UsageError("-o names a file twice; name each once")
        many = listed or any(path.is_dir() for path in paths)
        sidecar = self.sidecar
        if sidecar is None and many and not (files or prints):
            sidecar = ".txt"
        keeps = sidecar is not None or bool(files)
        self._check(keeps=keeps)
        return Places(sidecar, files, prints or not keeps)

    def _check(self, *, keeps: bool) -> None:
        """Check that options about what is kept are not given where nothing is.

        Raises:
            UsageError: They are, or `separator` has nothing to stand between.
        """
        if self.separator is not None and self.mode not in {"append", "prepend"}:
            raise UsageError("--separator is about --mode append and prepend")
        given = {
            "--mode": self.mode != "skip",
            "--retry-failed": self.retry_failed,
            "--journal": self.journal is not None,
        }
        useless = [name for name, is_given in given.items() if is_given and not keeps]
        if useless:
            raise UsageError(
                f"{' and '.join(useless)}: captions are only printed, and nothing is kept; write them with "
                "-o FILE.jsonl or --sidecar .txt"
            )

    @property
    def between(self) -> str | None:
        """What stands between an old and a new caption; None leaves it to them."""
        return None if self.separator is None else unescape(self.separator)

    @contextmanager
    def opened(
        self, places: Places, paths: Sequence[Path], *, trial: bool
    ) -> "Iterator[tuple[Journal, list[Sink]]]":
        """Open the journal and the outputs, and keep other runs away from them; `trial` changes nothing.

        Raises:
            JournalError: Another run writes there, or a file is damaged or cannot be written.
            UsageError: The suffix of text files is none.
        """
        from qwen3vl_edge.captions.journal import Journal
        from qwen3vl_edge.captions.places import journal_place, locked, places_to_lock
        from qwen3vl_edge.captions.record_file import RecordFile
        from qwen3vl_edge.captions.sidecar_sink import SidecarSink

        sidecars = places.sidecar is not None
        where = list(paths) or [Path()]
        place = journal_place(where, places.files, sidecars=sidecars, wanted=self.journal)
        locks = [] if trial else places_to_lock(where, places.files, place, sidecars=sidecars)
        with locked(locks), Journal(place, trial=trial) as journal:
            sinks: list[Sink] = []
            if places.sidecar is not None:
                sinks.append(SidecarSink(journal, places.sidecar, self.mode, self.between))
            for path in places.files:
                form = _FORMATS[path.suffix.lower()]
                sinks.append(RecordFile(journal, path, form, self.mode, self.between))
            yield journal, sinks
