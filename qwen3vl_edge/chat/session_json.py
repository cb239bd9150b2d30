"""The object in session.json, and back; every field is checked."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from qwen3vl_edge.chat.conversation import Conversation, Policy
from qwen3vl_edge.chat.turns import Turn
from qwen3vl_edge.clips import Clip
from qwen3vl_edge.errors import MediaError, SessionError, join_problems
from qwen3vl_edge.images import Picture, load_picture_as
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.runtime.cells import Entry, SavedCells
from qwen3vl_edge.runtime.engine import EngineInfo, StopReason

__all__ = ["SavedSession", "parse_session", "session_json"]

_FORMAT = 1
_MAX_SIDE = 1 << 16  # px


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What a session file says; ``entries`` is None where it holds no state."""

    identity: str
    system: str | None
    policy: Policy
    n_dropped: int
    turns: tuple[Turn, ...]
    entries: tuple[Entry, ...] | None
    state_sha256: str


def session_json(conversation: Conversation, cells: SavedCells | None) -> dict[str, object]:
    """Give the object that keeps `conversation`."""
    return {
        "format_version": _FORMAT,
        "model": conversation.engine.info.name,
        "identity": conversation.engine.info.identity,
        "system": conversation.system,
        "policy": conversation.policy,
        "n_dropped": conversation.n_dropped,
        "turns": [_turn_json(turn) for turn in conversation.turns],
        "cells": None if cells is None else [_entry_json(entry) for entry in cells.entries],
        "state_sha256": "" if cells is None else hashlib.sha256(cells.state.data).hexdigest(),
    }


def parse_session(values: Mapping[str, object], where: str, info: EngineInfo) -> SavedSession:
    """Take the object apart, and load its pictures and clips.

    Raises:
        SessionError: Every fault of the object in one line, or every picture that is not as it was.
    """
    fields = Fields(values, where)
    if fields.integer("format_version") > _FORMAT:
        raise SessionError(f"{where}: made by a newer version of this program; update it")
    policy = fields.text("policy")
    if policy not in get_args(Policy):
        fields.fault("policy", f"is {policy!r:.60}")
    turns = [_turn(item, info) for item in fields.sections("turns")]
    saved = SavedSession(
        identity=fields.text("identity"),
        system=fields.text("system") if fields.has("system") else None,
        policy=policy,  # type: ignore[arg-type]  # checked above
        n_dropped=fields.integer("n_dropped", least=0, most=len(turns)),
        turns=tuple(turns),
        entries=_entries(fields) if fields.has("cells") else None,
        state_sha256=fields.text("state_sha256", ""),
    )
    if fields.problems:
        raise SessionError(join_problems(fields.problems))
    return saved


def _turn_json(turn: Turn) -> dict[str, object]:
    return {
        "question": [_content_json(item) for item in turn.question.content],
        "answer": turn.answer,
        "reasoning": turn.reasoning,
        "stop_reason": turn.stop_reason,
    }


def _content_json(item: Content) -> dict[str, object]:
    if isinstance(item, str):
        return {"text": item}
    height, width, _ = (item.pixels if isinstance(item, Picture) else item.pairs[0][0]).shape
    return {
        "picture" if isinstance(item, Picture) else "clip": str(Path(item.source).absolute()),
        "digest": _digest(item),
        "height": height,
        "width": width,
    }


def _digest(item: Picture | Clip) -> str:
    visions = (item.vision,) if isinstance(item, Picture) else item.moments
    return hashlib.sha256(b"".join(vision.digest for vision in visions)).hexdigest()


def _turn(fields: Fields, info: EngineInfo) -> Turn:
    reason = fields.text("stop_reason")
    if reason not in get_args(StopReason):
        fields.fault("stop_reason", f"is {reason!r:.60}")
    content = tuple(_content(item, info) for item in fields.sections("question"))
    answer, reasoning = fields.text("answer"), fields.text("reasoning")
    return Turn(Message("user", content), answer, reasoning, reason)  # type: ignore[arg-type]  # checked


def _content(fields: Fields, info: EngineInfo) -> Content:
    if fields.has("text"):
        return fields.text("text")
    height, width = (fields.integer(side, most=_MAX_SIDE) for side in ("height", "width"))
    if fields.has("clip"):
        return _as_it_was(fields, "clip", lambda path: _load_clip(path, info))
    return _as_it_was(fields, "picture", lambda path: load_picture_as(path, height, width))


def _as_it_was(fields: Fields, key: str, load: Callable[[Path], Picture | Clip]) -> Content:
    """Load what `key` names, if the model would see the same as before."""
    path = Path(fields.text(key))
    try:
        item = load(path)
    except MediaError as error:
        fields.fault(key, f"cannot be shown again: {error}")
        return ""
    if _digest(item) != fields.text("digest"):
        fields.fault(key, f"{path} has changed since the session was saved; put back what it was")
    return item


def _load_clip(path: Path, info: EngineInfo) -> Clip:
    from qwen3vl_edge.video import load_clip  # noqa: PLC0415 -- loads slowly; only clips need it

    return load_clip(path, info.video_limits)


def _entry_json(entry: Entry) -> int | dict[str, object]:
    if isinstance(entry.key, int):
        return entry.key
    return {"media": entry.key.hex(), "n_cells": entry.n_cells, "n_positions": entry.n_positions}


def _entries(fields: Fields) -> tuple[Entry, ...]:
    values = fields.values["cells"]
    if not isinstance(values, list):
        fields.fault("cells", "is no list")
        return ()
    return tuple(_entry(value, fields) for value in values)


def _entry(value: object, fields: Fields) -> Entry:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31:
        return Entry(value)
    if not isinstance(value, dict):
        fields.fault("cells", "holds something that is neither a token nor a picture")
        return Entry(0)
    item = Fields(value, f"{fields.where}: cells", fields.problems)
    media = item.text("media")
    try:
        key = bytes.fromhex(media)
    except ValueError:
        item.fault("media", "is no digest")
        key = b""
    return Entry(key, item.integer("n_cells"), item.integer("n_positions"))
