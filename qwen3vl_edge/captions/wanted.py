"""Which of a folder's files are wanted: patterns as in .gitignore."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pathspec import GitIgnoreSpec

from qwen3vl_edge.errors import UsageError

__all__ = ["EVERYTHING", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """Which of a folder's files are wanted; files named outright always are.

    ``include`` and ``exclude`` are patterns as in .gitignore, of the path below the folder that was named:
    ``*.png`` fits at every depth, ``raw/`` every folder of that name and all in it, ``/a/*.jpg`` and
    ``a/**/b.jpg`` from the top; case counts. With `include` a file must fit one of them, and none of
    `exclude`. Names that begin with a dot are never looked at.

    Raises:
        UsageError: A pattern is none.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("--include", self.include)
        _check("--exclude", self.exclude)

    @cached_property
    def _in(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines(self.include)

    @cached_property
    def _out(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines(self.exclude)

    def file(self, below: str) -> bool:
        """Whether the file `below` (its path from the folder, with slashes) is wanted."""
        if self.include and not self._in.match_file(below):
            return False
        return not (self.exclude and self._out.match_file(below))

    def folder(self, below: str) -> bool:
        """Whether the folder `below`, one of the folder's own, is looked into."""
        return self.recursive and not (self.exclude and self._out.match_file(below + "/"))


def _check(option: str, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        try:
            spec = GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise UsageError(f"{option} {pattern!r:.80} is no pattern; write one as in .gitignore") from error
        if not any(one.include for one in spec.patterns):
            raise UsageError(
                f"{option} {pattern!r:.80} fits nothing; write a pattern such as *.png, without !"
            )


EVERYTHING = Wanted()
"""All files of the folder itself."""
