"""Messages to the parts that the engine reads: text, and frames where the reference has vision pads.

The chat template writes ``<|vision_start|><|image_pad|><|vision_end|>`` for a picture and the same
with ``<|video_pad|>`` for a clip. Each such triple becomes a `VisionPart`; a clip becomes one for
every pair of frames, with its stamp ``<t.t seconds>`` before it as plain text (transformers 5.23,
``models/qwen3_vl/processing_qwen3_vl.py``).

Text inside messages is data. Special tokens that stand in it are taken out before the template
runs and come back as ordinary characters, in parts whose special tokens are not parsed
(docs/decisions/0003-prompts-as-parts.md).
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from jinja2 import Environment, TemplateError
from jinja2.ext import loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qwen3vl_edge.clips import Clip
from qwen3vl_edge.errors import PromptError
from qwen3vl_edge.images import Picture, VisionPart
from qwen3vl_edge.messages import Content, Message

__all__ = ["ChatTemplate", "Part", "SpecialTokens", "TextPart", "VisionPart", "opens_reasoning"]

_PICTURE_TRIPLE = "<|vision_start|><|image_pad|><|vision_end|>"
# What a template of a foreign model can run into: this is its program, not ours.
_TEMPLATE_FAULTS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)

_LARGEST_FACTOR = 10_000
_THINK = "<think>"
_CLIP_TRIPLE = "<|vision_start|><|video_pad|><|vision_end|>"


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text to tokenize on its own; it is a special token, or has none that would be parsed."""

    text: str
    parse_special: bool = False


Part = TextPart | VisionPart
"""The engine puts start and end tokens around a `VisionPart`."""


def opens_reasoning(parts: Sequence[Part]) -> bool:
    """Tell whether the prompt `parts` ends in an open reasoning: its last special token is ``<think>``."""
    special = (part.text for part in reversed(parts) if isinstance(part, TextPart) and part.parse_special)
    return next(special, None) == _THINK


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The added tokens of a vocabulary, as text.

    ``control`` tokens are parsed only where that is wanted, ``user_defined`` ones (``<think>``)
    always: llama.cpp 0c1e57098, ``src/llama-vocab.cpp``, ``tokenizer_st_partition``.
    """

    control: tuple[str, ...]
    user_defined: tuple[str, ...]


class ChatTemplate:
    """The chat template of a checkpoint, compiled once.

    Args:
        source: Jinja source, as in ``tokenizer.chat_template`` of a GGUF file.
        special: The vocabulary's added tokens.

    Raises:
        PromptError: The template does not compile.
    """

    def __init__(self, source: str, special: SpecialTokens) -> None:
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise PromptError(f"the model's chat template does not compile: {error}") from error
        self._special = _any_of((*special.control, *special.user_defined))
        self._user_defined = frozenset(special.user_defined)

    def parts(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, add_vision_id: bool = False
    ) -> tuple[Part, ...]:
        """Render `messages`, ready for the engine.

        Args:
            messages: What was said.
            add_generation_prompt: Begin the answer.
            add_vision_id: Number pictures and clips, each kind for itself ("Picture 1: ", "Video 1: ");
                a parameter of Qwen's own templates, which others may not know.

        Raises:
            PromptError: The template refuses the messages or drops a picture or clip.
        """
        shield = _Shield(self._special, messages)
        try:
            rendered = self._template.render(
                messages=shield.messages,
                add_generation_prompt=add_generation_prompt,
                add_vision_id=add_vision_id,
                tools=None,
            )
        except _TEMPLATE_FAULTS as error:
            raise PromptError(f"the model's chat template refuses the messages: {error}") from error
        media = [item for message in messages for item in message.content if not isinstance(item, str)]
        return tuple(self._split(rendered, shield, media))

    def _split(self, rendered: str, shield: "_Shield", media: Sequence[Content]) -> Iterator[Part]:
        """Cut a rendered prompt at its vision triples and special tokens; all the rest is plain."""
        remaining = iter(media)
        end = 0
        triples = f"{re.escape(_PICTURE_TRIPLE)}|{re.escape(_CLIP_TRIPLE)}"
        for found in re.finditer(f"(?P<triple>{triples})|{self._special.pattern}", rendered):
            text, end = rendered[end : found.start()], found.end()
            if not found["triple"]:
                yield from self._plain(text, shield)
                yield TextPart(found[0], parse_special=True)
                continue
            for stamp, vision in _moments(next(remaining, None), found["triple"]):
                # one piece with the text before it: the reference's tokenizer sees no seam there
                yield from self._plain(text + stamp, shield)
                yield vision
                text = ""
        yield from self._plain(rendered[end:], shield)
        if next(remaining, None) is not None:
            raise PromptError("the model's chat template leaves out a picture or clip of the messages")

    def _plain(self, text: str, shield: "_Shield") -> Iterator[TextPart]:
        """Put the messages' literal tokens back; a user-defined one is cut, or it would be parsed."""
        held = ""
        end = 0
        for mark in shield.mark.finditer(text):
            literal = shield.literal(mark)
            held += text[end : mark.start()]
            end = mark.end()
            if literal in self._user_defined:
                yield TextPart(held + literal[:1])
                held, literal = "", literal[1:]
            held += literal
        if rest := held + text[end:]:
            yield TextPart(rest)


class _Shield:
    """Takes special tokens out of the messages' text and knows what stood where."""

    def __init__(self, special: re.Pattern[str], messages: Sequence[Message]) -> None:
        contents = [_joined(message.content) for message in messages]
        self._special = special
        self._literals: list[str] = []
        texts = [item for content in contents for item in content if isinstance(item, str)]
        self._fence = "\ue000"  # private use; grows until no text holds it
        while any(self._fence in text for text in texts):
            self._fence += "\ue000"
        self.mark = re.compile(f"{self._fence}([0-9]+);")
        self.messages: list[dict[str, object]] = [
            {"role": message.role, "content": list(map(self._item, content))}
            for message, content in zip(messages, contents, strict=True)
        ]
        """The messages in the form that Hugging Face chat templates read."""

    def literal(self, mark: re.Match[str]) -> str:
        """Give the text that `mark` stands for."""
        return self._literals[int(mark[1])]

    def _item(self, item: Content) -> dict[str, str]:
        if isinstance(item, str):
            return {"type": "text", "text": self._special.sub(self._hide, item)}
        return {"type": "image" if isinstance(item, Picture) else "video"}

    def _hide(self, match: re.Match[str]) -> str:
        self._literals.append(match[0])
        return f"{self._fence}{len(self._literals) - 1};"


def _joined(content: Sequence[Content]) -> list[Content]:
    """Join neighbouring texts, so that no token is assembled from two; normalize as the tokenizer does."""
    joined: list[Content] = []
    for is_text, group in groupby(content, key=lambda item: isinstance(item, str)):
        if is_text:
            text = "".join(map(str, group))
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise PromptError("the text is not valid UTF-8; save it as UTF-8 and try again")
            joined.append(unicodedata.normalize("NFC", text))
        else:
            joined += group
    return joined


def _moments(item: Content | None, triple: str) -> Iterator[tuple[str, VisionPart]]:
    """Give what a triple stands for, each with the stamp that comes before it."""
    if isinstance(item, Picture) and triple == _PICTURE_TRIPLE:
        yield "", item.vision
    elif isinstance(item, Clip) and triple == _CLIP_TRIPLE:
        for stamp, moment in zip(item.plan.stamps_s, item.moments, strict=True):
            yield f"<{stamp:.1f} seconds>", moment
    else:
        raise PromptError("the model's chat template shows a picture or clip that is not in the messages")


def _any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    """Give a pattern that finds any of `tokens`, the longest first."""
    by_length = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length)) or r"(?!)")


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox without two operators that fill memory or never end; no template needs them so large."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        counts = [value for value in (left, right) if isinstance(value, int | float)]
        if operator == "**" or any(abs(count) > _LARGEST_FACTOR for count in counts):
            raise TemplateError(f"{operator} of large numbers is not allowed in a chat template")
        return super().call_binop(context, operator, left, right)


def _environment() -> Environment:
    """Give the Jinja of transformers 5.23, ``utils/chat_template_utils.py``: sandboxed, same filters."""
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda fmt: datetime.now().astimezone().strftime(fmt)
    return environment


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
