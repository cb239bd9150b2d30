"""Which files are captioned: found one after the other, in the memory of one folder's names."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from qwen3vl_edge.captions.formats import HEAD_BYTES, kind_in_folder, kind_of_named
from qwen3vl_edge.captions.values import Item, Kind
from qwen3vl_edge.captions.wanted import EVERYTHING, Wanted
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import MediaLimits

__all__ = ["MediaLimits", "Wanted", "find"]

# a pipe that took a file's place in the meantime must not make us wait
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_MOST_NAMED = 5


def _silent(_folder: str) -> None:
    pass


def find(
    paths: Iterable[Path],
    wanted: Wanted = EVERYTHING,
    *,
    must_exist: bool = True,
    unreadable: Callable[[str], None] = _silent,
) -> Iterator[Item]:
    """Find the pictures and clips that `paths` name: files as they are, folders by the content of theirs.

    Of a folder come first its files, then those of its folders, each sorted by name. Links are followed; a
    folder is entered once however many ways lead there, and no file comes twice. What vanishes meanwhile
    is passed over; what was named outright, and a link that leads nowhere, comes, to be named as failed.
    Memory is that of one folder's names, and about 100 bytes for each folder and file named outright.

    Args:
        paths: Files and folders; read as they are needed, if they need not exist.
        wanted: What of folders is taken.
        must_exist: Check all of `paths` before the first item is given.
        unreadable: Told each folder that cannot be listed, and why, in one line.

    Raises:
        UsageError: A path does not exist, and all must.
    """
    if must_exist:
        paths = list(paths)
        missing = [str(path) for path in paths if not os.path.lexists(path)]
        if missing:
            more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
            raise UsageError(f"no such file or folder: {', '.join(missing[:_MOST_NAMED])}{more}")
    return _Search(wanted, unreadable).items(paths)


class _Search:
    """Remembers what came already: files named outright, and folders with their place below a named one."""

    def __init__(self, wanted: Wanted, unreadable: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._unreadable = unreadable
        self._named: set[bytes] = set()
        self._entered: dict[tuple[int, int], str] = {}

    def items(self, paths: Iterable[Path]) -> Iterator[Item]:
        for path in paths:
            if os.path.isdir(path):  # noqa: PTH112 -- Path's raises for names that are too long
                yield from self._in_folder(str(path))
            elif not self._came(path):
                yield _named(path)

    def _in_folder(self, top: str) -> Iterator[Item]:
        pending = [(top, "")]
        while pending:
            folder, below = pending.pop()
            if not self._enter(folder, below):
                continue
            files, folders = self._listed(folder, below)
            real = os.path.realpath(folder) if self._named else ""
            for name in files:
                if real and _digest(real, name) in self._named:
                    continue
                item = _taken(_join(folder, name))
                if item is not None:
                    yield item
            pending += [(_join(folder, name), f"{below}{name}/") for name in reversed(folders)]

    def _enter(self, folder: str, below: str) -> bool:
        try:
            found = os.stat(folder)  # noqa: PTH116 -- a string is enough
        except OSError:
            return False  # vanished
        key = found.st_dev, found.st_ino
        new = key not in self._entered
        self._entered.setdefault(key, below)
        return new

    def _listed(self, folder: str, below: str) -> tuple[list[str], list[str]]:
        """Give the names of the wanted files and folders in `folder`, each sorted."""
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    kind = _kind(entry)
                    if kind == "file" and self._wanted.file(below + entry.name):
                        files.append(entry.name)
                    elif kind == "folder" and self._wanted.folder(below + entry.name):
                        folders.append(entry.name)
        except OSError as error:
            self._unreadable(f"{folder}: cannot be listed ({error.strerror})")
        return sorted(files), sorted(folders)

    def _came(self, path: Path) -> bool:
        """Whether `path` came already, by name or in a folder; remembers it."""
        folder, name = os.path.split(path)
        digest = _digest(os.path.realpath(folder or os.curdir), name)
        if digest in self._named:
            return True
        self._named.add(digest)
        return self._came_in_folder(folder or os.curdir, name)

    def _came_in_folder(self, folder: str, name: str) -> bool:
        try:
            found = os.stat(folder)  # noqa: PTH116
        except OSError:
            return False
        below = self._entered.get((found.st_dev, found.st_ino))
        if below is None or name.startswith(".") or not self._wanted.file(below + name):
            return False
        return _taken(_join(folder, name)) is not None


def _kind(entry: "os.DirEntry[str]") -> str:
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # links in a circle
        return "file"
    return "file" if entry.is_symlink() and not os.path.exists(entry.path) else ""  # noqa: PTH110


def _taken(path: str) -> Item | None:
    """Give the folder's file `path`, if it is a picture or a clip, by content or at least by name.

    A link that leads nowhere is one by its name; its item has no size and no time.
    """
    head, found = _looked_at(path)
    if found is None and not os.path.islink(path):  # noqa: PTH114
        return None  # vanished
    kind = kind_in_folder(head, _suffix(path))
    return None if kind is None else _item(Path(path), kind, found)


def _named(path: Path) -> Item:
    """Give the file `path`, whatever it is; one that is not there has no size and no time."""
    head, found = _looked_at(str(path))
    return _item(path, kind_of_named(head, path.suffix), found)


def _item(path: Path, kind: Kind, found: os.stat_result | None) -> Item:
    return Item(path, kind, found.st_size if found else 0, found.st_mtime_ns if found else 0)


def _looked_at(path: str) -> tuple[bytes, os.stat_result | None]:
    """Give the first bytes of a regular file and its facts; of one that cannot be read only the facts."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # vanished; a name that no file can have
        return b"", None
    if not stat.S_ISREG(found.st_mode):
        return b"", found
    try:
        file = os.open(path, _READ)
    except OSError:
        return b"", found
    try:
        return os.read(file, HEAD_BYTES), found
    except OSError:
        return b"", found
    finally:
        os.close(file)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]  # noqa: PTH122 -- of 100,000 files


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118


def _digest(folder: str, name: str) -> bytes:
    return blake2b(os.fsencode(_join(folder, name)), digest_size=16).digest()
