"""A conversation in one file: a ZIP archive of ``session.json`` and, on request, the engine's state.

Pictures and clips are kept as references: path, and digest of what the model was shown. The state holds
what was read of them, so that a conversation goes on without reading or encoding anything again. Both
members are stored as they are, not compressed: floats do not shrink.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from qwen3vl_edge.chat.conversation import Conversation, Policy
from qwen3vl_edge.chat.session_json import SavedSession, parse_session, session_json
from qwen3vl_edge.errors import EngineError, SessionError
from qwen3vl_edge.json_fields import parse_object
from qwen3vl_edge.runtime.cells import SavedCells
from qwen3vl_edge.runtime.engine import Engine, GenerateOptions

__all__ = ["load_session", "save_session"]

_JSON, _STATE = "session.json", "state.bin"
_JSON_LIMIT_BYTES = 64 << 20


def save_session(conversation: Conversation, path: Path, *, with_state: bool = True) -> None:
    """Write `conversation` to `path`, whole or not at all; a file that is there is replaced.

    Args:
        conversation: What to keep.
        path: The file.
        with_state: Keep what the engine has read, too: about as many bytes as it takes in memory.

    Raises:
        SessionError: The file cannot be written.
    """
    cells = conversation.session.save_cells() if with_state else None
    text = json.dumps(session_json(conversation, cells), ensure_ascii=False)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_JSON, text)
                if cells is not None:
                    archive.writestr(_STATE, cells.state.data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SessionError(f"{path}: cannot be written ({error.strerror or error})") from error


def load_session(
    path: Path, engine: Engine, options: GenerateOptions, *, policy: Policy | None = None
) -> tuple[Conversation, tuple[str, ...]]:
    """Open the conversation in `path` with `engine`.

    Args:
        path: The file.
        engine: Who goes on; another model than before reads everything anew.
        options: How to answer from now on.
        policy: What to do when the context is full; None takes the conversation's own.

    Returns:
        The conversation, and what the user should know: one line each.

    Raises:
        SessionError: The file cannot be read or is damaged, or a picture has changed or is missing.
    """
    saved, state = _read(path, engine)
    conversation = Conversation(
        engine, options, system=saved.system, policy=policy or saved.policy, turns=saved.turns
    )
    conversation.n_dropped = saved.n_dropped
    return conversation, tuple(_take_up(conversation, saved, state))


def _take_up(conversation: Conversation, saved: SavedSession, state: bytes | None) -> Sequence[str]:
    """Put the saved state into the engine; returns why not, if not."""
    if saved.identity != conversation.engine.info.identity:
        return ["the model has changed since the session was saved: all of it is read again"]
    if state is None or saved.entries is None:
        return []
    if hashlib.sha256(state).hexdigest() != saved.state_sha256:
        return ["the saved state is damaged: the conversation is read again"]
    try:
        conversation.session.restore_cells(SavedCells(saved.entries, np.frombuffer(state, np.uint8)))
    except EngineError as error:
        return [f"the saved state cannot be used, the conversation is read again: {error}"]
    return []


def _read(path: Path, engine: Engine) -> tuple[SavedSession, bytes | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            raw = _member(archive, _JSON, min(_JSON_LIMIT_BYTES, path.stat().st_size))
            state = _member(archive, _STATE, path.stat().st_size) if _STATE in archive.namelist() else None
    except FileNotFoundError:
        raise SessionError(f"no such session: {path}") from None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise SessionError(f"{path}: not a saved session, or damaged ({error})") from error
    return parse_session(parse_object(raw, str(path), SessionError), str(path), engine.info), state


def _member(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """Read a member that is stored as it is: what it holds cannot be more than the file."""
    info = archive.getinfo(name) if name in archive.namelist() else None
    if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > limit_bytes:
        raise ValueError(f"no {name} of a sensible size")
    return archive.read(info)
