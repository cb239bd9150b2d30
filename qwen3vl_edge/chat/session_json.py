"""The object in session.json, and back; every field is checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from qwen3vl_edge.chat.conversation import Conversation
from qwen3vl_edge.chat.notices import Policy
from qwen3vl_edge.chat.session_cells import entry_json, parse_entries, seal
from qwen3vl_edge.chat.session_media import content_json, parse_content
from qwen3vl_edge.chat.session_settings import parse_settings, settings_json
from qwen3vl_edge.chat.turns import Turn
from qwen3vl_edge.errors import SessionError, join_problems
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.cells import Entry, SavedCells
from qwen3vl_edge.runtime.engine import EngineInfo, GenerateOptions, StopReason

__all__ = ["SavedSession", "parse_session", "session_json"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What a session file says; ``entries`` is None where it holds no state.

    ``seal`` is the hash over all that has to do with the state; ``notes`` tell of what could not be kept.
    """

    identity: str
    system: str | None
    policy: Policy
    vision_ids: bool
    options: GenerateOptions
    n_dropped: int
    turns: tuple[Turn, ...]
    notes: tuple[str, ...]
    entries: tuple[Entry, ...] | None
    seal: str


def session_json(conversation: Conversation, cells: SavedCells | None) -> dict[str, object]:
    """Give the object that keeps `conversation`."""
    return {
        "format_version": _FORMAT,
        "model": conversation.engine.info.name,
        "identity": conversation.engine.info.identity,
        "system": conversation.system,
        "policy": conversation.policy,
        "vision_ids": conversation.vision_ids,
        "settings": settings_json(conversation.options),
        "n_dropped": conversation.n_dropped,
        "turns": [_turn_json(turn) for turn in conversation.turns],
        "cells": None if cells is None else [entry_json(entry) for entry in cells.entries],
        "seal": "" if cells is None else seal(conversation.engine.info.identity, cells),
    }


def parse_session(values: Mapping[str, object], where: str, info: EngineInfo) -> SavedSession:
    """Take the object apart, and load its pictures and clips.

    Raises:
        SessionError: Every fault of the object in one line, or every picture that is not as it was, but for
            turns that the model is no longer shown.
    """
    fields = Fields(values, where)
    if fields.integer("format_version") > _FORMAT:
        raise SessionError(f"{where}: made by a newer version of this program; update it")
    policy = fields.text("policy")
    if policy not in get_args(Policy):
        fields.fault("policy", f"is {policy!r:.60}")
    notes: list[str] = []
    sections = fields.sections("turns")
    n_dropped = fields.integer("n_dropped", least=0, most=len(sections))
    turns = [_turn(item, info, notes if i < n_dropped else None) for i, item in enumerate(sections)]
    defaults = GenerateOptions(info.sampling)
    saved = SavedSession(
        identity=fields.text("identity"),
        system=fields.text("system") if fields.has("system") else None,
        policy=policy,  # type: ignore[arg-type]  # checked above
        vision_ids=fields.flag("vision_ids", False),  # older files do not say
        options=parse_settings(fields.section("settings"), defaults) if fields.has("settings") else defaults,
        n_dropped=n_dropped,
        turns=tuple(turns),
        notes=tuple(notes),
        entries=parse_entries(fields, "cells") if fields.has("cells") else None,
        seal=fields.text("seal", ""),
    )
    if fields.problems:
        raise SessionError(join_problems(fields.problems))
    return saved


def _turn_json(turn: Turn) -> dict[str, object]:
    return {
        "question": [content_json(item) for item in turn.question.content],
        "answer": turn.answer,
        "reasoning": turn.reasoning,
        "stop_reason": turn.stop_reason,
    }


def _turn(fields: Fields, info: EngineInfo, lost: list[str] | None) -> Turn:
    """Read a turn; where `lost` is given, it takes what is said of pictures that are not as they were."""
    reason = fields.text("stop_reason")
    if reason not in get_args(StopReason):
        fields.fault("stop_reason", f"is {reason!r:.60}")
    content = tuple(parse_content(item, info, lost) for item in fields.sections("question"))
    answer, reasoning = fields.text("answer"), fields.text("reasoning")
    return Turn(Message("user", content), answer, reasoning, reason)  # type: ignore[arg-type]  # checked
