"""Keeps a conversation on the disk, so that nothing that was finished is lost."""

import os
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path

from qwen3vl_edge.chat import Conversation, save_session
from qwen3vl_edge.chat.session_place import NO_FILE, FileStamp
from qwen3vl_edge.cli.terminal.folders import private_folder
from qwen3vl_edge.errors import SessionError

__all__ = ["SUFFIX", "Keeper", "last_chat"]

SUFFIX = ".q3vl"
_N_KEPT = 50


class Keeper:
    """Writes a conversation to one file, after each turn and at the end.

    Args:
        file: That file, as the user named it; None: one of `folder`.
        folder: For conversations without a file, the newest 50 of them; None: those are not kept.
        with_state: At the end, keep what the engine has read, too, in a file that the user named.
    """

    def __init__(self, file: Path | None, folder: Path | None, *, with_state: bool = True) -> None:
        self.file = None if file is None else file.absolute()
        self.folder = folder
        self._with_state = with_state
        self._named = file is not None
        self._stamp = NO_FILE if file is None else _stamp_of(file)

    def keep(self, conversation: Conversation) -> None:
        """Write `conversation`, whole or not at all, so that a power cut leaves it.

        Raises:
            SessionError: It cannot be written.
        """
        if self.file is None and self.folder is not None and conversation.turns:
            self.file = _new_file(self.folder)
            self._stamp = _stamp_of(self.file)
        if self.file is not None and (conversation.turns or self.file.exists()):
            self._save(conversation, self.file, with_state=False)

    def finish(self, conversation: Conversation) -> None:
        """Write `conversation` for the last time, with the engine's state if that is wanted.

        Raises:
            SessionError: It cannot be written.
        """
        if self._named and self.file is not None and conversation.turns:
            self._save(conversation, self.file, with_state=self._with_state)

    def save_as(self, file: Path, conversation: Conversation) -> None:
        """Write `conversation` to `file`, and from now on there.

        Raises:
            SessionError: It cannot be written.
        """
        if file != self.file:
            self._stamp = NO_FILE
        self._save(conversation, file, with_state=self._with_state)
        self.go_on_in(file)

    def go_on_in(self, file: Path) -> None:
        """Write to `file` from now on: the conversation comes from there."""
        self.file, self._stamp = file, _stamp_of(file)
        self._named = self.folder is None or file.parent != self.folder

    def part(self, conversation: Conversation) -> Path | None:
        """Leave `conversation` in its file and write what comes next to another; gives the file that is left.

        None if there is nothing to leave. Without a folder what comes next is not kept.
        """
        if not conversation.turns:
            return None
        left, self.file, self._named = self.file, None, False
        return left

    def _save(self, conversation: Conversation, file: Path, *, with_state: bool) -> None:
        """Write the file, unless another program has written it since: its turns would be lost."""
        save_session(conversation, file, with_state=with_state, replaces=self._stamp)
        self._stamp = _stamp_of(file)
        _sync_folder(file.parent)


def last_chat(folder: Path, other_than: Path | None = None) -> Path | None:
    """Give the newest conversation in `folder`, None if there is none."""
    chats = (path for path in _newest_first(folder) if path != other_than and path.stat().st_size)
    return next(chats, None)


def _new_file(folder: Path) -> Path:
    """Take the next free name of today, and let the oldest go."""
    try:
        for old in _newest_first(private_folder(folder))[_N_KEPT - 1 :]:
            old.unlink(missing_ok=True)
        return _reserve(folder)
    except OSError as error:
        raise SessionError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _reserve(folder: Path) -> Path:
    number = 1
    while True:
        path = folder / f"{date.today():%Y-%m-%d}-{number}{SUFFIX}"
        with suppress(FileExistsError):  # of another chat, perhaps one that runs now
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return path
        number += 1


def _newest_first(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        found = [(path.stat().st_mtime_ns, path) for path in folder.glob(f"*{SUFFIX}")]
        return [path for _, path in sorted(found, reverse=True)]
    return []


def _stamp_of(file: Path) -> FileStamp:
    try:
        return FileStamp.of(file.stat())
    except FileNotFoundError:
        return NO_FILE


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":  # knows no such thing for folders
        return
    with suppress(OSError):  # some network file systems neither; the file itself has been synced
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
