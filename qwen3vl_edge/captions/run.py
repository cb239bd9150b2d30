"""A captioning run: items come in, each is decided on, the model is asked, and what it says is kept."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.captions.decisions import Ask, Refuse, Restore, Skip, decide
from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.journal_runs import begin_run, end_run
from qwen3vl_edge.captions.outlet import Outlet
from qwen3vl_edge.captions.record import Caption, Record
from qwen3vl_edge.captions.run_events import Noted, Passed, RunEvent, Summary
from qwen3vl_edge.captions.settings import RunSettings
from qwen3vl_edge.captions.sidecars import read_sidecar, sidecar_of
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Item, Outcome, Request
from qwen3vl_edge.captions.wording import finish, wording_notes
from qwen3vl_edge.errors import JournalError, MediaError

__all__ = ["CaptionRun", "Work"]

Work = Callable[[Iterator[Request]], Iterable[Outcome]]
"""Takes requests as it can and gives an outcome of each in any order, as `Supervisor.run` does."""

_DEFAULT_SIDECAR = ".txt"


@dataclass(frozen=True, slots=True)
class _Begun:
    item: Item
    key: bytes


class CaptionRun:
    """One run over items.

    Args:
        settings: How to caption.
        journal: What is known, and where what comes is kept first.
        sinks: Where captions go; their `close` is called at the end.
        tell: Told of each item when what came of it is safe; and what the user should know.
    """

    def __init__(
        self,
        settings: RunSettings,
        journal: Journal,
        sinks: Sequence[Sink],
        tell: Callable[[RunEvent], None] = lambda _: None,
    ) -> None:
        self.summary = Summary()
        self._settings, self._journal, self._sinks, self._listener = settings, journal, sinks, tell
        self._outlet = Outlet(settings, journal, sinks, self._tell)
        self._begun: dict[int, _Begun] = {}
        self._keys: set[bytes] = set()
        self._is_stopped = False

    def caption(self, items: Iterable[Item], work: Work) -> Summary:
        """Caption `items`, which are looked at as `work` asks for requests.

        What the last run did not write is written first. However this ends, what came until then is kept;
        if `work` ends early, the items that were begun are as they were.

        Raises:
            JournalError: The journal or an output cannot be written; nothing is half-written.
            EdgeError: What `work` raises.
        """
        begin_run(self._journal, self._settings)
        for sink in self._sinks:
            for note in sink.notes:
                self._tell(Noted(note))
        self._outlet.flush()
        try:
            for outcome in work(self._requests(items)):
                self._settle(outcome)
        finally:
            # Ctrl-C or the end of the model loses nothing; a journal that cannot be written is left as it is
            if not isinstance(sys.exception(), JournalError):
                self._end()
        return self.summary

    def stop(self) -> None:
        """Know that the end of the items is not the end: the next run is to go on with this one."""
        self._is_stopped = True

    def tick(self) -> None:
        """Write what has waited long enough; to be called now and then while `work` is busy.

        Raises:
            JournalError: The journal or an output cannot be written.
        """
        self._outlet.tick()

    def _end(self) -> None:
        self.summary.interrupted = len(self._begun)
        self._outlet.flush()
        for sink in self._sinks:
            sink.close()
        end_run(self._journal, is_whole=self.summary.is_whole and not self._begun)

    def _tell(self, event: RunEvent) -> None:
        self.summary.count(event)
        self._listener(event)

    def _requests(self, items: Iterable[Item]) -> Iterator[Request]:
        for number, item in enumerate(items):
            key = self._journal.keys.key(item.path)
            request = self._request(number, item, key)
            if request is not None:
                self._begun[number] = _Begun(item, key)
                self._keys.add(key)
                yield request
            self._outlet.tick()
        self.summary.is_whole = not self._is_stopped

    def _request(self, number: int, item: Item, key: bytes) -> Request | None:
        """Give what to ask about an item; None if there is nothing to ask: then all is done about it."""
        if key in self._keys or self._outlet.holds(key):
            self._tell(Passed(item, "found twice"))
            return None
        match decide(item, key, self._settings, self._journal, self._sinks):
            case Skip(reason):
                self._tell(Passed(item, reason))
            case Restore(sinks):
                self._outlet.restore(key, item, self._journal.record(key), sinks)
            case Refuse(error):
                self._refuse(number, item, key, error)
            case Ask():
                try:
                    return self._asking(number, item, key)
                except MediaError as error:
                    self._refuse(number, item, key, str(error))
        return None

    def _asking(self, number: int, item: Item, key: bytes) -> Request:
        existing = self._existing(item, key) if self._settings.names("existing") else ""
        suffix = self._settings.tags_suffix
        tags = ""
        if suffix is not None and self._settings.names("tags"):
            tags = read_sidecar(sidecar_of(item.path, suffix)).strip()
        return Request(number, item.path, item.kind, existing, tags)

    def _existing(self, item: Item, key: bytes) -> str:
        """Give the caption that an item has in one of the outputs, or beside it."""
        for sink in self._sinks:
            if existing := sink.existing(item, key).strip():
                return existing
        return read_sidecar(sidecar_of(item.path, _DEFAULT_SIDECAR)).strip()

    def _refuse(self, number: int, item: Item, key: bytes, error: str) -> None:
        outcome = Outcome(number, "failed", error=error)
        self._outlet.put(key, item, outcome, self._record(item, outcome))

    def _settle(self, outcome: Outcome) -> None:
        begun = self._begun.get(outcome.number)
        if begun is None or any(answer.stop_reason == "cancelled" for answer in outcome.answers):
            return  # what was cancelled is no caption: it stays begun
        del self._begun[outcome.number]
        fault = self._settings.fault(outcome.answers)
        if fault is not None:
            outcome = replace(outcome, status="failed", answers=(), error=f"{begun.item.path}: {fault}")
        self._outlet.put(begun.key, begun.item, outcome, self._record(begun.item, outcome))
        self._keys.discard(begun.key)

    def _record(self, item: Item, outcome: Outcome) -> Record:
        """Word the answers, and put all together that is told of an item."""
        model, prompts = self._settings.model, self._settings.prompts
        captions, notes = [], list(outcome.notes)
        if outcome.status == "done":
            for prompt, answer in zip(prompts, outcome.answers, strict=True):
                rules = self._settings.wording_of(prompt)
                text = finish(answer.text, rules, answer.stop_reason, structured=prompt.structured)
                captions.append(
                    Caption(
                        prompt.name, answer.prompt, answer.text, text, answer.stop_reason, answer.n_tokens
                    )
                )
                notes += wording_notes(answer.stop_reason, prompt.max_tokens)
        seconds = outcome.seconds
        return Record(
            path=str(item.path),
            status=outcome.status,
            captions=tuple(captions),
            error=outcome.error,
            model=model.name,
            quantization=model.quantization,
            version=self._settings.version,
            notes=tuple(notes),
            width=outcome.width,
            height=outcome.height,
            seconds=seconds.encode + seconds.prefill + seconds.decode,
        )
