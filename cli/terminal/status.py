"""How the chat stands, in one line and in several."""

from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.cli.terminal.attachments import n_tokens
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.runtime.engine import Finished

__all__ = ["statistics", "status_line"]


def status_line(chat: Chat) -> str:
    """Give model, context, speed, vision tokens and what waits to be sent."""
    parts = [escaped(chat.conversation.engine.info.name)]
    if chat.used is not None:
        used, context = chat.used.prompt, chat.used.context
        parts.append(f"context {used}/{context} ({used / max(context, 1):.0%})")
    if chat.last is not None and (speed := _speed(chat.last)):
        parts.append(f"{speed:.1f} tokens/s")
    if chat.used is not None:
        parts.append(f"{chat.used.vision} vision tokens")
    if chat.attachments:
        waiting = sum(n_tokens(item, chat.factor_px) for item in chat.attachments)
        parts.append(f"{len(chat.attachments)} attached (+{waiting})")
    if chat.constraint is not None:
        parts.append(chat.constraint.kind)
    return " · ".join(parts)


def statistics(chat: Chat) -> list[tuple[str, str]]:
    """Give names and values: of the last answer, and of the conversation."""
    rows = [] if chat.last is None else _of_answer(chat.last)
    conversation = chat.conversation
    rows.append(("turns", f"{len(conversation.turns)}, {conversation.n_dropped} of them not shown any more"))
    if chat.used is not None:
        share = f"{chat.used.prompt / max(chat.used.context, 1):.1%}"
        rows.append(("context", f"{chat.used.prompt} of {chat.used.context} tokens ({share})"))
        rows.append(("of which pictures and clips", f"{chat.used.vision} tokens"))
    return rows


def _of_answer(end: Finished) -> list[tuple[str, str]]:
    tokens, seconds = end.tokens, end.seconds
    prompt = tokens.text + tokens.vision
    n_read = prompt - tokens.reused
    rate = f", {n_read / seconds.prefill:.0f} tokens/s" if seconds.prefill > 0 else ""
    speed = f", {_speed(end):.1f} tokens/s" if _speed(end) else ""
    return [
        ("last prompt", f"{prompt} tokens, {tokens.reused} of them stood in the context already"),
        ("encoding", f"{seconds.encode:.2f} s"),
        ("reading", f"{n_read} tokens in {seconds.prefill:.2f} s{rate}"),
        ("answering", f"{tokens.generated} tokens in {seconds.decode:.2f} s{speed}"),
        ("of which reasoning", f"{tokens.reasoning} tokens"),
        ("ended by", end.stop_reason),
    ]


def _speed(end: Finished) -> float:
    return end.tokens.generated / end.seconds.decode if end.seconds.decode > 0 else 0.0
