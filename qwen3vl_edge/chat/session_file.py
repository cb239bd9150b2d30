"""A conversation in one file: a ZIP archive of ``session.json`` and, on request, the engine's state.

Pictures and clips are kept as references: path, and digest of what the model was shown. The state holds
what was read of them, so that a conversation goes on without reading or encoding anything again. Both
members are stored as they are, not compressed: floats do not shrink.
"""

import json
import os
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from qwen3vl_edge.chat.conversation import Conversation
from qwen3vl_edge.chat.notices import Policy
from qwen3vl_edge.chat.session_cells import seal
from qwen3vl_edge.chat.session_json import SavedSession, parse_session, session_json
from qwen3vl_edge.chat.session_place import FileStamp, write_whole
from qwen3vl_edge.chat.turns import History
from qwen3vl_edge.errors import EngineError, SessionError
from qwen3vl_edge.json_fields import parse_object
from qwen3vl_edge.runtime.cells import SavedCells
from qwen3vl_edge.runtime.engine import Engine, GenerateOptions

__all__ = ["OpenedSession", "load_session", "open_session", "save_session"]

_JSON, _STATE = "session.json", "state.bin"
_JSON_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class OpenedSession:
    """What a session file gave.

    Attributes:
        conversation: As it was, with the settings that it was saved with.
        notes: What the user should know, one line each.
        stamp: What tells the file from a later one; see `save_session`.
    """

    conversation: Conversation
    notes: tuple[str, ...]
    stamp: FileStamp


def save_session(
    conversation: Conversation, path: Path, *, with_state: bool = True, replaces: FileStamp | None = None
) -> None:
    """Write `conversation` to `path`, whole or not at all; a file that is there is replaced.

    Args:
        conversation: What to keep.
        path: The file.
        with_state: Keep what the engine has read, too: about as many bytes as it takes in memory.
        replaces: The only file that may be replaced, `NO_FILE` for none; None: whatever is there.

    Raises:
        SessionError: The file cannot be written, or another program has changed it.
    """
    cells = conversation.session.save_cells() if with_state else None
    text = json.dumps(session_json(conversation, cells), ensure_ascii=False)
    # half a surrogate pair, a byte of a terminal that was no text, would make a file that is not Unicode
    raw = text.encode("utf-8", "replace")

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_JSON, raw)
            if cells is not None:
                archive.writestr(_STATE, cells.state.data)

    write_whole(path, write, replaces)


def open_session(path: Path, engine: Engine, *, policy: Policy | None = None) -> OpenedSession:
    """Open the conversation in `path` with `engine`, and with the settings that it was saved with.

    Args:
        path: The file.
        engine: Who goes on; another model than before reads everything anew.
        policy: What to do when the context is full; None takes the conversation's own.

    Raises:
        SessionError: The file cannot be read or is damaged, or a picture has changed or is missing that the
            model is still shown.
    """
    saved, state, stamp = _read(path, engine)
    conversation = Conversation(
        engine,
        saved.options,
        system=saved.system,
        policy=policy or saved.policy,
        history=History(saved.turns, saved.n_dropped),
        vision_ids=saved.vision_ids,
    )
    return OpenedSession(conversation, (*saved.notes, *_take_up(conversation, saved, state)), stamp)


def load_session(
    path: Path, engine: Engine, options: GenerateOptions, *, policy: Policy | None = None
) -> tuple[Conversation, tuple[str, ...]]:
    """Open the conversation in `path` as `open_session` does, but answer by `options` from now on.

    Returns:
        The conversation, and what the user should know: one line each.

    Raises:
        SessionError: As for `open_session`.
    """
    opened = open_session(path, engine, policy=policy)
    opened.conversation.options = options
    return opened.conversation, opened.notes


def _take_up(conversation: Conversation, saved: SavedSession, state: bytes | None) -> Sequence[str]:
    """Put the saved state into the engine; returns why not, if not."""
    if saved.identity != conversation.engine.info.identity:
        return ["the model has changed since the session was saved: all of it is read again"]
    if state is None or saved.entries is None:
        return []
    cells = SavedCells(saved.entries, np.frombuffer(state, np.uint8))
    if seal(saved.identity, cells) != saved.seal:
        return ["the saved state is damaged: the conversation is read again"]
    try:
        conversation.session.restore_cells(cells)
    except EngineError as error:
        return [f"the saved state cannot be used, the conversation is read again: {error}"]
    return []


def _read(path: Path, engine: Engine) -> tuple[SavedSession, bytes | None, FileStamp]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise SessionError(f"{path}: not a regular file")
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            found = os.fstat(file.fileno())
            raw = _member(archive, _JSON, min(_JSON_LIMIT_BYTES, found.st_size))
            state = _member(archive, _STATE, found.st_size) if _STATE in archive.namelist() else None
    except FileNotFoundError:
        raise SessionError(f"no such session: {path}") from None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError) as error:
        # RuntimeError: flagged as encrypted; NotImplementedError, which is one: a feature of other archives
        raise SessionError(f"{path}: not a saved session, or damaged ({error})") from error
    values = parse_object(raw, str(path), SessionError)
    return parse_session(values, str(path), engine.info), state, FileStamp.of(found)


def _member(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """Read a member that is stored as it is: what it holds cannot be more than the file."""
    info = archive.getinfo(name) if name in archive.namelist() else None
    if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > limit_bytes:
        raise ValueError(f"no {name} of a sensible size")
    return archive.read(info)
