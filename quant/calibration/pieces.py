"""What a model is shown for its importance matrix: chunks of text, questions about pictures and clips."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["Piece", "Question", "TextChunk", "in_turn", "spread_questions"]

PICTURE_QUESTIONS = (
    "Describe this image.",
    "What is shown here? Name every object, its color and where it is.",
    "Transcribe all text in the picture exactly as it is written.",
    "Write a short caption for this picture.",
    "Beschreibe das Bild in zwei Sätzen.",
    "How many things can be counted in this image? Explain how you counted.",
    'List the objects as JSON: [{"label": …, "bbox_2d": [x1, y1, x2, y2]}, …].',
    "请详细描述这张图片。",
    "Which tags would you give this picture? Answer with a list separated by commas.",
    "Is there anything unusual in this picture? Answer yes or no, then say why.",
    "¿Qué se ve en la imagen y cuáles son sus colores principales?",
    "Describe the picture for a blind person: first the whole, then the details from left to right.",
    "この画像には何が写っていますか。",
    "If this is a chart or a table, give its numbers as a Markdown table; if not, describe its textures.",
    "Que voit-on au premier plan, et que voit-on derrière ?",
    "Опиши изображение подробно.",
)
"""The forms in which people ask about pictures, in turn; our own words."""

CLIP_QUESTIONS = (
    "Describe this video.",
    "What happens in the clip, and when? Give the times in seconds.",
    "Summarize the video in one sentence.",
    "What moves, in which direction, and how does it end?",
    "描述视频中发生的事情。",
    "At what time does something new appear? Answer in the form <seconds>.",
    "Beschreibe, was sich im Laufe des Videos verändert.",
    "List the events of the clip as JSON with the keys start, end and event.",
)
"""The same about clips."""


@dataclass(frozen=True, slots=True)
class TextChunk:
    """As many tokens of a text as are read at once."""

    tokens: tuple[int, ...]

    @property
    def kind(self) -> Literal["text"]:
        """What it is."""
        return "text"

    @property
    def identity(self) -> str:
        """Equal for equal chunks."""
        return f"text {hashlib.sha256(repr(self.tokens).encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a picture or a clip, which is loaded when its turn comes.

    ``source`` names it to people, ``stamp`` is equal as long as it has not changed.
    """

    kind: Literal["picture", "clip"]
    source: str
    stamp: str
    text: str
    load: Callable[[EngineInfo], Content]

    @property
    def identity(self) -> str:
        """Equal for equal questions."""
        return repr((self.kind, self.source, self.stamp, self.text))


Piece = TextChunk | Question


def in_turn(*groups: Sequence[Piece]) -> list[Piece]:
    """Mix the groups evenly, each in its order: whatever is cut off at the end, all have had their share."""
    placed = [
        ((index + 0.5) / len(group), number, piece)
        for number, group in enumerate(groups)
        for index, piece in enumerate(group)
    ]
    return [piece for _, _, piece in sorted(placed, key=lambda item: item[:2])]


def spread_questions(
    kind: Literal["picture", "clip"], items: Iterable[tuple[str, str, Callable[[EngineInfo], Content]]]
) -> list[Question]:
    """Ask about each item, (source, stamp, load), in another way than about the one before."""
    forms = PICTURE_QUESTIONS if kind == "picture" else CLIP_QUESTIONS
    return [
        Question(kind, source, stamp, forms[index % len(forms)], load)
        for index, (source, stamp, load) in enumerate(items)
    ]
