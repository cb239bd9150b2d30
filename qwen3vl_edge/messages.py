"""A conversation as plain values: who said what, with which pictures and clips in between."""

from dataclasses import dataclass
from typing import Literal

from qwen3vl_edge.clips import Clip
from qwen3vl_edge.images import Picture

__all__ = ["Content", "Message", "Role"]

Role = Literal["system", "user", "assistant"]
Content = str | Picture | Clip


@dataclass(frozen=True)
class Message:
    """One turn; texts, pictures and clips in the order in which the model reads them."""

    role: Role
    content: tuple[Content, ...]
