"""Prompts with their text tokenized: what is compared with the cells, and what is read into them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.prompt import Part, TextPart, VisionPart, opens_reasoning
from qwen3vl_edge.runtime.cells import Entry, Key
from qwen3vl_edge.runtime.model import TextModel

__all__ = ["TokenizedPrompt", "Tokenizer"]

_VISION_START, _VISION_END = "<|vision_start|>", "<|vision_end|>"


@dataclass(frozen=True)
class TokenizedPrompt:
    """Token ids and the digests of pictures, in order.

    ``visions`` has the pictures by digest, ``factor`` is the side of a token in pixels. ``thinks`` says
    that the prompt ends in an open reasoning.
    """

    keys: tuple[Key, ...]
    visions: Mapping[bytes, VisionPart]
    factor: int
    thinks: bool

    @property
    def n_vision(self) -> int:
        """Tokens of pictures."""
        return sum(self.entry(key).n_cells for key in self.keys if isinstance(key, bytes))

    @property
    def n_text(self) -> int:
        """Tokens of text, the marks around pictures among them."""
        return sum(isinstance(key, int) for key in self.keys)

    @property
    def n_cells(self) -> int:
        """All tokens."""
        return self.n_text + self.n_vision

    def text_tokens(self) -> Iterator[int]:
        """Give the ids of the text alone."""
        return (key for key in self.keys if isinstance(key, int))

    def grid(self, digest: bytes) -> tuple[int, int]:
        """Give the rows and columns of tokens of a picture."""
        vision = self.visions[digest]
        return vision.height // self.factor, vision.width // self.factor

    def entry(self, key: Key) -> Entry:
        """Give what `key` takes in the cells."""
        if isinstance(key, int):
            return Entry(key)
        rows, columns = self.grid(key)
        return Entry(key, rows * columns, max(rows, columns))


class Tokenizer:
    """Turns the parts of prompts into tokens; `factor` is the side of a vision token in pixels."""

    def __init__(self, model: TextModel, factor: int) -> None:
        self._model = model
        self._factor = factor
        self.vision_marks = self.special(_VISION_START), self.special(_VISION_END)

    def special(self, text: str) -> list[int]:
        """Give the ids of `text`, in which special tokens are meant."""
        return self._model.tokenize(text, parse_special=True)

    def prompt(self, parts: Sequence[Part]) -> TokenizedPrompt:
        """Tokenize `parts`.

        Raises:
            EngineError: They do not end in text.
        """
        if not parts or not isinstance(parts[-1], TextPart):
            raise EngineError("a prompt must end in text; add some after the last picture")
        keys: list[Key] = []
        visions: dict[bytes, VisionPart] = {}
        start, end = self.vision_marks
        for part in parts:
            if isinstance(part, TextPart):
                keys += self._model.tokenize(part.text, parse_special=part.parse_special)
            else:
                visions[part.digest] = part
                keys += [*start, part.digest, *end]
        return TokenizedPrompt(tuple(keys), visions, self._factor, opens_reasoning(parts))
