"""Answers to several prompts, put together to what came of a file."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from qwen3vl_edge.captions.loading import Loaded
from qwen3vl_edge.captions.values import Answer, Outcome
from qwen3vl_edge.clips import Clip
from qwen3vl_edge.runtime.engine import Seconds
from qwen3vl_edge.runtime.jobs import Completed, Refused

__all__ = ["Key", "Tally"]

Key = tuple[int, int]
"""The number of a request, and which of its prompts."""

Result = Completed[Key] | Refused[Key]


@dataclass(slots=True)
class _Awaited:
    """A file whose prompts are with the engine; its pixels are not held here."""

    prompts: tuple[str, ...]
    content_hash: str
    width: int
    height: int
    find_notes: Callable[[], tuple[str, ...]]
    results: dict[int, Result] = field(default_factory=dict)


class Tally:
    """Which prompts of which files are still to be answered."""

    def __init__(self) -> None:
        self._awaited: dict[int, _Awaited] = {}

    def expect(self, loaded: Loaded) -> None:
        """Wait for an answer to each prompt of a file."""
        content = loaded.content
        self._awaited[loaded.request.number] = _Awaited(
            tuple(asked.text for asked in loaded.asked),
            loaded.content_hash,
            loaded.width,
            loaded.height,
            content.find_notes if isinstance(content, Clip) else tuple,
        )

    def add(self, result: Result) -> Outcome | None:
        """Note a result; gives the outcome of its file if it was the last one."""
        number, index = result.key
        awaited = self._awaited[number]
        awaited.results[index] = result
        if len(awaited.results) < len(awaited.prompts):
            return None
        del self._awaited[number]
        return _outcome(number, awaited)


def _outcome(number: int, awaited: _Awaited) -> Outcome:
    """Give what came of a file: one prompt that was refused fails it, for all would lack something."""
    results = [awaited.results[index] for index in range(len(awaited.prompts))]
    refused = next((result for result in results if isinstance(result, Refused)), None)
    completed = [result for result in results if isinstance(result, Completed)]
    return Outcome(
        number=number,
        status="failed" if refused else "done",
        answers=() if refused else tuple(map(_answer, awaited.prompts, completed)),
        error=str(refused.error) if refused else None,
        content_hash=awaited.content_hash,
        width=awaited.width,
        height=awaited.height,
        n_vision_tokens=max((one.finished.tokens.vision for one in completed), default=0),
        notes=awaited.find_notes(),  # only now: damage may show where the frames are decoded
        seconds=_sum([one.finished.seconds for one in completed]),
    )


def _answer(prompt: str, completed: Completed[Key]) -> Answer:
    finished = completed.finished
    return Answer(prompt, completed.text, finished.stop_reason, finished.tokens.generated)


def _sum(parts: list[Seconds]) -> Seconds:
    return Seconds(*(sum(getattr(part, one.name) for part in parts) for one in fields(Seconds)))
