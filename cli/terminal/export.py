"""A conversation for reading elsewhere: Markdown or JSON."""

import json
from pathlib import Path

from qwen3vl_edge.chat import Conversation, Turn
from qwen3vl_edge.cli.terminal.attachments import first_pixels
from qwen3vl_edge.clips import Clip
from qwen3vl_edge.messages import Content

__all__ = ["as_json", "as_markdown"]


def as_markdown(conversation: Conversation) -> str:
    """Give a document: who said what, with links to the pictures and clips."""
    blocks = [f"# A conversation with {conversation.engine.info.name}"]
    if conversation.system is not None:
        blocks += ["## System", conversation.system]
    for turn in conversation.turns:
        blocks += ["## User", *map(_markdown, turn.question.content), "## Assistant"]
        if turn.reasoning:
            blocks.append("\n".join(f"> {line}" for line in turn.reasoning.strip().split("\n")))
        blocks.append(turn.answer)
    return "\n\n".join(blocks) + "\n"


def as_json(conversation: Conversation) -> str:
    """Give one JSON document with the same."""
    document = {
        "model": conversation.engine.info.name,
        "system": conversation.system,
        "turns": [_turn(turn) for turn in conversation.turns],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _turn(turn: Turn) -> dict[str, object]:
    fields: dict[str, object] = {
        "question": [_json(item) for item in turn.question.content],
        "answer": turn.answer,
        "stop_reason": turn.stop_reason,
    }
    return fields | ({"reasoning": turn.reasoning} if turn.reasoning else {})


def _markdown(item: Content) -> str:
    if isinstance(item, str):
        return item
    mark = "" if isinstance(item, Clip) else "!"
    return f"{mark}[{Path(item.source).name}](<{item.source}>)"


def _json(item: Content) -> dict[str, object]:
    if isinstance(item, str):
        return {"text": item}
    height, width, _ = first_pixels(item).shape
    kind = "clip" if isinstance(item, Clip) else "picture"
    return {kind: item.source, "width": width, "height": height}
