"""What Tab offers: commands, their arguments, and paths."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.cli.terminal.command import Completes
from qwen3vl_edge.cli.terminal.commands import COMMANDS
from qwen3vl_edge.cli.terminal.file_commands import LAST
from qwen3vl_edge.cli.terminal.keeper import SUFFIX
from qwen3vl_edge.cli.terminal.media_commands import SAMPLE
from qwen3vl_edge.cli.terminal.settings import SETTINGS
from qwen3vl_edge.clips import CLIP_SUFFIXES
from qwen3vl_edge.images import IMAGE_SUFFIXES

__all__ = ["Candidate", "candidates"]

_SUFFIXES: dict[Completes, frozenset[str]] = {
    "picture": IMAGE_SUFFIXES,
    "clip": CLIP_SUFFIXES,
    "session": frozenset({SUFFIX}),
    "export": frozenset({".md", ".json"}),
}
_WORDS: dict[Completes, tuple[str, ...]] = {
    "picture": (SAMPLE,),
    "session": (LAST,),
    "command": tuple(item.name for item in COMMANDS),
    "media": ("drop", "drop all"),
    "off": ("off",),
}
_WORD = re.compile(r"(?:\\.|[^\s\\])+\\?|\\")
_MOST = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could stand in place of the last ``n_replaced`` characters; ``help`` says what it is."""

    text: str
    n_replaced: int
    help: str = ""


def candidates(line: str) -> list[Candidate]:
    """Give what the end of `line` could be completed to."""
    if re.fullmatch(r"/\w*", line):
        typed = line[1:].lower()
        return [
            Candidate(f"/{item.name}", len(line), item.help)
            for item in COMMANDS
            if item.name.startswith(typed)
        ]
    found = re.match(r"/(\w+)\s+(.*)", line, re.DOTALL)
    kind: Completes | None = None
    if found is not None:
        kind = next((item.completes for item in COMMANDS if item.name == found[1].lower()), None)
    if found is None or kind is None:
        return list(_dropped(line))
    if kind == "setting":
        return list(_settings(found[2]))
    words = _starting(found[2], _WORDS.get(kind, ()))
    return [*words, *(_paths(found[2], _SUFFIXES[kind]) if kind in _SUFFIXES else ())]


def _dropped(line: str) -> Iterator[Candidate]:
    """Complete paths in a message: words that begin like one."""
    word = _last_word(line)
    if word.startswith(("/", "./", "../", "~/")):
        yield from _paths(word, IMAGE_SUFFIXES | CLIP_SUFFIXES)


def _settings(typed: str) -> Iterator[Candidate]:
    key, space, value = typed.partition(" ")
    for item in SETTINGS:
        if not space and item.name.startswith(key):
            yield Candidate(item.name, len(key), item.help)
        elif space and item.name == key:
            yield from _starting(value.lstrip(), item.values)


def _starting(typed: str, words: Iterable[str]) -> list[Candidate]:
    return [Candidate(word, len(typed)) for word in words if word.startswith(typed)]


def _paths(typed: str, suffixes: frozenset[str]) -> Iterator[Candidate]:
    """Complete the last word of `typed` to folders, and to files with one of `suffixes`."""
    word = _last_word(typed)
    folder, _, begun = re.sub(r"\\(.)", r"\1", word).rpartition("/")
    shown = word[: len(word) - len(word.rpartition("/")[2])]
    for name, is_folder in _listed(folder + "/" if "/" in word else "."):
        wanted = is_folder or Path(name).suffix.lower() in suffixes
        if wanted and name.startswith(begun) and (begun.startswith(".") or not name.startswith(".")):
            yield Candidate(f"{shown}{_escaped(name)}{'/' if is_folder else ''}", len(word))


def _listed(folder: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            return sorted(
                (entry.name, entry.is_dir()) for _, entry in zip(range(_MOST), entries, strict=False)
            )
    except (OSError, RuntimeError, ValueError):  # no such folder, user, or name
        return []


def _last_word(typed: str) -> str:
    last = None
    for last in _WORD.finditer(typed):  # noqa: B007 -- from the beginning: what is escaped shows only so
        pass
    return last[0] if last is not None and last.end() == len(typed) else ""


def _escaped(name: str) -> str:
    return re.sub(r"([\s\\'\"])", r"\\\1", name)
