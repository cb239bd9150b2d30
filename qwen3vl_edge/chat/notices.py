"""What the user should know of the context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qwen3vl_edge.clips import Clip
from qwen3vl_edge.images import Picture
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.runtime.engine import Cost

__all__ = ["Notice", "Policy", "dropped", "filling", "full", "shrunk"]

Policy = Literal["stop", "drop", "shrink"]
"""With a full context: refuse, leave out the oldest turns, or show pictures and clips in fewer tokens."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know of the context, in one line."""

    text: str


def filling(cost: Cost) -> Notice:
    """Say that the context is nearly full."""
    return Notice(
        f"the context is {cost.prompt / cost.context:.0%} full: {cost.prompt} of {cost.context} "
        f"tokens, {cost.remaining} remain for the answer"
    )


def dropped(n_turns: int, before: Cost, now: Cost) -> Notice:
    """Say that the oldest turns, `n_turns` by now, are left out."""
    number = "the oldest turn" if n_turns == 1 else f"the oldest {n_turns} turns"
    return Notice(
        f"the context is full: the model no longer sees {number}; the prompt is {now.prompt} tokens "
        f"instead of {before.prompt}"
    )


def shrunk(before: Sequence[Message], now: Sequence[Message], factor: int) -> Iterator[Notice]:
    """Say which pictures, and which clips, are shown smaller; `factor` is the side of a token in pixels."""
    pairs = [
        (old, new)
        for one, other in zip(before, now, strict=True)
        for old, new in zip(one.content, other.content, strict=True)
        if old is not new
    ]
    pictures = [(_n_tokens(old, factor), _n_tokens(new, factor)) for old, new in pairs if _is_picture(old)]
    if pictures:
        old_tokens, new_tokens = map(sum, zip(*pictures, strict=True))
        yield Notice(
            f"the context is full: pictures are shown smaller, in {new_tokens} tokens instead of {old_tokens}"
        )
    for old, new in pairs:
        if isinstance(old, Clip) and isinstance(new, Clip):
            yield Notice(
                f"the context is full: {Path(old.source).name} is shown in {_shape(new)}, "
                f"{_n_tokens(new, factor)} tokens, instead of {_shape(old)}, {_n_tokens(old, factor)} tokens"
            )


def full(cost: Cost, messages: Sequence[Message], policy: Policy, *, has_turns: bool) -> str:
    """Say that a prompt of `messages` does not fit, and what would help it."""
    remedies = ["give less text"]
    media = [item for message in messages for item in message.content if not isinstance(item, str)]
    has_clips = any(isinstance(item, Clip) for item in media)
    if media and policy != "shrink":
        remedies.append(f"have {'pictures and clips' if has_clips else 'pictures'} shrunk")
    elif any(map(_is_picture, media)):
        remedies.append("give fewer pictures")
    if has_clips:
        remedies.append("show less of the clips")
    if has_turns:
        remedies.append("undo or clear turns" if policy == "drop" else "have the oldest turns dropped")
    return (
        f"the context is full: with this question the prompt is {cost.prompt} tokens ({cost.vision} of them "
        f"pictures{' and clips' if has_clips else ''}) of {cost.context}; {', or '.join(remedies)}"
    )


def _is_picture(item: Content) -> bool:
    return isinstance(item, Picture)


def _shape(clip: Clip) -> str:
    plan = clip.plan
    return f"{plan.n_frames} frame{'s' * (plan.n_frames > 1)} of {plan.width}×{plan.height} px"


def _n_tokens(item: Content, factor: int) -> int:
    match item:
        case Clip(plan=plan):
            return plan.n_tokens(factor)
        case Picture(pixels=pixels):
            return int(pixels.shape[0] // factor) * int(pixels.shape[1] // factor)
    return 0
