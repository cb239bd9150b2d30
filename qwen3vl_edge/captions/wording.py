"""From what the model wrote to the caption that is kept: openings, lengths, what stands around it."""

import re
from dataclasses import dataclass

from qwen3vl_edge.captions.openings import without_opening
from qwen3vl_edge.captions.repetition import without_repetition
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.engine import StopReason

__all__ = ["Wording", "finish", "wording_notes"]

_SENTENCE_END = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s)|[。！？｡]+["'”’」』）]*""")
_CUT_OFF: frozenset[StopReason] = frozenset(("length", "context"))


@dataclass(frozen=True, slots=True)
class Wording:
    """How captions are worded; the default leaves them as they are but for their openings.

    ``trigger`` is put first, before ``prefix``, with a comma, as trainers of LoRAs expect their word;
    ``prefix`` and ``suffix`` are put around as they are. ``strip`` are phrases that captions do not
    begin with, beside those of `openings`, which ``keep_openings`` leaves. ``max_words`` cuts at the end
    of the last whole sentence that fits, else behind a word. ``whole_sentences`` drops what a caption
    that was cut off has after its last whole sentence.

    Raises:
        UsageError: A number is out of range, or a phrase to strip is empty.
    """

    prefix: str = ""
    suffix: str = ""
    trigger: str = ""
    strip: tuple[str, ...] = ()
    keep_openings: bool = False
    max_words: int | None = None
    whole_sentences: bool = False

    def __post_init__(self) -> None:
        if self.max_words is not None and self.max_words < 1:
            raise UsageError(f"captions cannot have {self.max_words} words; allow 1 or more")
        if any(not phrase.strip() for phrase in self.strip):
            raise UsageError("a phrase to strip is empty; say what captions must not begin with")


def finish(text: str, rules: Wording, stop_reason: StopReason = "stop", *, structured: bool = False) -> str:
    """Give the caption that is kept of the answer `text`; "" if nothing is left of it.

    Args:
        text: As the model wrote it.
        rules: How to word it.
        stop_reason: Why the answer ended: one that went in circles is cut after the first round.
        structured: It is JSON and is kept as it is, but for blanks around it.
    """
    text = text.strip()
    if structured:
        return text
    if stop_reason == "loop":
        text = without_repetition(text)
    text = without_opening(text, rules.strip, known=not rules.keep_openings)
    if rules.whole_sentences and stop_reason in _CUT_OFF:
        text = _whole_sentences(text)
    if rules.max_words is not None:
        text = _shortened(text, rules.max_words)
    return _framed(text, rules) if text else ""


def wording_notes(stop_reason: StopReason, max_tokens: int) -> tuple[str, ...]:
    """Say of an answer what the reader of its caption should know: that it is not whole."""
    match stop_reason:
        case "length":
            return (f"cut off after {max_tokens} tokens; --max-tokens allows more",)
        case "context":
            return ("cut off: the context is full; --ctx gives more",)
        case "loop":
            return ("repeated itself without end; kept up to the first repetition",)
        case _:
            return ()


def _framed(text: str, rules: Wording) -> str:
    trigger = f"{rules.trigger.strip().rstrip(',')}, " if rules.trigger.strip() else ""
    return f"{trigger}{rules.prefix}{text}{rules.suffix}"


def _whole_sentences(text: str) -> str:
    """Drop what stands behind the last end of a sentence; a text without one is left as it is."""
    ends = [found.end() for found in _SENTENCE_END.finditer(text + " ")]
    return text[: ends[-1]] if ends else text


def _shortened(text: str, max_words: int) -> str:
    words = list(re.finditer(r"\S+", text))
    if len(words) <= max_words:
        return text
    fitting = text[: words[max_words - 1].end()]
    ends = [found.end() for found in _SENTENCE_END.finditer(fitting + " ")]
    return fitting[: ends[-1]] if ends else fitting.rstrip(",;:–—-(")
