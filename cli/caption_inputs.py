"""Options of `caption` that say which files are captioned."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli.engine_options import parse_size
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.captions.values import Item
    from qwen3vl_edge.captions.wanted import Wanted
    from qwen3vl_edge.limits import MediaLimits

__all__ = ["FileChoice"]

_STDIN = "-"


@dataclass(frozen=True, slots=True)
class FileChoice:
    """Which files are captioned."""

    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into sub-folders too.")] = False
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Of folders take only what fits, as in .gitignore: *.png, /raw/*.jpg, a/**/b; repeatable.",
            show_default=False,
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Of folders leave out what fits: thumbs/, *_mask.*; repeatable.",
            show_default=False,
        ),
    ] = None
    from_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Caption the paths that this file lists, one a line, as seen from the current folder; - is "
            "standard input.",
            show_default=False,
        ),
    ] = None
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Paths in the list end with NUL, as find -print0 has them.")
    ] = False
    max_pixels: Annotated[
        str,
        typer.Option(metavar="N", help="Refuse pictures that claim more pixels; 500M are 500 million."),
    ] = "178956970"
    max_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="Refuse pictures whose files are larger.")
    ] = "1G"

    def wanted(self) -> "Wanted":
        """Give what of folders is taken.

        Raises:
            UsageError: A pattern is none.
        """
        from qwen3vl_edge.captions.wanted import Wanted

        return Wanted(self.recursive, tuple(self.include or ()), tuple(self.exclude or ()))

    def limits(self) -> "MediaLimits":
        """Give how large files may be.

        Raises:
            UsageError: A limit is no number, or 0.
        """
        from qwen3vl_edge.limits import MediaLimits

        limits = MediaLimits(_count(self.max_pixels), parse_size(self.max_bytes))
        if not (limits.max_pixels and limits.max_bytes):
            raise UsageError("--max-pixels and --max-bytes of 0 refuse every picture; allow more")
        return limits

    def check(self, paths: Sequence[Path]) -> None:
        """Check that there is something to look for.

        Raises:
            UsageError: No path is named, one does not exist, there is nothing in them, or options
                contradict each other.
        """
        from qwen3vl_edge.captions.files import find

        if not paths and self.from_file is None:
            raise UsageError(
                "nothing to caption; name pictures, clips or folders, or a list with --from-file"
            )
        if self.null and self.from_file is None:
            raise UsageError("--null is about the list of --from-file, and none is given")
        if self.from_file not in {None, _STDIN} and not _can_be_read(Path(str(self.from_file))):
            raise UsageError(f"no such file: {self.from_file}; --from-file wants a list of paths")
        found = find(paths, self.wanted())
        if self.from_file is None and next(found, None) is None:
            hint = "" if self.recursive else "; --recursive looks into sub-folders too"
            raise UsageError(f"no pictures and no clips in {', '.join(map(str, paths))}{hint}")

    @property
    def can_be_counted(self) -> bool:
        """Whether the files can be looked for twice: a pipe ends when it was read."""
        return self.from_file is None or Path(self.from_file).is_file()

    def few(self, paths: Sequence[Path], most: int) -> int | None:
        """Count the files; None if there are more than `most`, or if they can be looked for only once."""
        if not self.can_be_counted:
            return None
        count = sum(1 for _ in islice(self.items(paths, lambda _: None), most + 1))
        return count if count <= most else None

    def items(self, paths: Sequence[Path], unreadable: Callable[[str], None]) -> "Iterator[Item]":
        """Find the files; `unreadable` is told folders that cannot be listed.

        Raises:
            UsageError: The list is none.
        """
        from qwen3vl_edge.captions.files import find

        return find(chain(paths, self._listed()), self.wanted(), must_exist=False, unreadable=unreadable)

    def _listed(self) -> Iterator[Path]:
        from qwen3vl_edge.captions.listed import listed_paths

        if self.from_file is None:
            return
        with _binary(self.from_file) as file:
            where = "standard input" if self.from_file == _STDIN else self.from_file
            yield from listed_paths(file, where, null=self.null)


def _binary(name: str) -> BufferedReader:
    if name == _STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return Path(name).open("rb")


def _can_be_read(path: Path) -> bool:
    """Tell whether `path` is a file or, as of ``--from-file <(find …)``, a pipe."""
    return path.is_file() or path.is_fifo()


def _count(text: str) -> int:
    units = {"K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
    unit = units.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise UsageError(f"--max-pixels {text!r:.40} is no number; write e.g. 300M")
    return int(digits) * unit
