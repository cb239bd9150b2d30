"""A captioning run with a worker that follows a script: what the tests of runs have in common."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qwen3vl_edge.captions.forecast import Forecast, forecast
from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.modes import Mode
from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.record import Format
from qwen3vl_edge.captions.record_file import RecordFile
from qwen3vl_edge.captions.run import CaptionRun
from qwen3vl_edge.captions.run_events import RunEvent, Summary
from qwen3vl_edge.captions.settings import ModelNames, RunSettings
from qwen3vl_edge.captions.sidecar_sink import SidecarSink
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Answer, Item, Outcome, Request
from qwen3vl_edge.captions.wording import Wording
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.runtime.engine import GenerateOptions, Seconds
from qwen3vl_edge.sampling import GREEDY

__all__ = ["Case", "item_of", "items_in", "settings_for", "write_pictures"]


def settings_for(*texts: str, mode: Mode = "skip", retry_failed: bool = False) -> RunSettings:
    prompts = tuple(Prompt(f"p{n}", text, text) for n, text in enumerate(texts or ("Describe.",)))
    worker = WorkerSettings(Path("model.gguf"), Path("mmproj.gguf"), prompts, GenerateOptions(GREEDY))
    return RunSettings(
        worker,
        ModelNames("demo", "Q8_0", "0" * 64),
        "0.1.0",
        Wording(keep_openings=True),
        mode=mode,
        retry_failed=retry_failed,
    )


def write_pictures(folder: Path, names: Sequence[str]) -> list[Path]:
    """Write files that nobody will decode, each with a content of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"picture " + os.fsencode(name))
    return [folder / name for name in names]


def item_of(path: Path) -> Item:
    found = path.stat()
    return Item(path, "picture", found.st_size, found.st_mtime_ns)


def items_in(folder: Path) -> list[Item]:
    return [item_of(path) for path in sorted(folder.rglob("*")) if path.suffix in {".jpg", ".png"}]


@dataclass
class Case:
    """Runs over the pictures in `folder`; `asked` are the names of those that the worker was asked about."""

    folder: Path
    sidecar: str | None = ".txt"
    files: Sequence[tuple[Path, Format]] = ()
    journal: Path | None = None
    asked: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    answer: Callable[[Request, str], str] = lambda request, prompt: f"{prompt} {request.path.name}"
    fails: Callable[[Path], bool] = lambda path: path.name.startswith("bad")

    @property
    def journal_path(self) -> Path:
        return self.journal or self.folder / ".qwen3vl-edge.journal"

    def texts(self, suffix: str = ".txt") -> dict[str, str]:
        return {path.stem: path.read_text() for path in sorted(self.folder.rglob(f"*{suffix}"))}

    def run(self, settings: RunSettings | None = None, items: Iterable[Item] | None = None) -> Summary:
        settings = settings or settings_for()
        self.asked.clear()
        self.requests.clear()
        self.events.clear()
        with Journal(self.journal_path) as journal:
            sinks = self.sinks(journal, settings)
            run = CaptionRun(settings, journal, sinks, self.events.append)
            return run.caption(items_in(self.folder) if items is None else items, self.work)

    def forecast(self, settings: RunSettings | None = None) -> Forecast:
        settings = settings or settings_for()
        with Journal(self.journal_path, trial=True) as journal:
            return forecast(items_in(self.folder), settings, journal, self.sinks(journal, settings))

    def sinks(self, journal: Journal, settings: RunSettings) -> list[Sink]:
        sinks: list[Sink] = []
        if self.sidecar:
            sinks.append(SidecarSink(journal, self.sidecar, settings.mode, settings.separator))
        for path, form in self.files:
            sinks.append(RecordFile(journal, path, form, settings.mode, settings.separator))
        self._prompts = [prompt.picture for prompt in settings.prompts]
        return sinks

    def work(self, requests: Iterator[Request]) -> Iterator[Outcome]:
        for request in requests:
            self.asked.append(request.path.name)
            self.requests.append(request)
            yield self.outcome(request)

    def outcome(self, request: Request) -> Outcome:
        if self.fails(request.path):
            return Outcome(request.number, "failed", error=f"{request.path}: damaged")
        return Outcome(
            request.number,
            "done",
            tuple(Answer(text, self.answer(request, text), "stop", 3) for text in self._prompts),
            content_hash=hashlib.sha256(request.path.read_bytes()).hexdigest(),
            width=64,
            height=48,
            seconds=Seconds(encode=0.25, prefill=0.5, decode=0.25),
        )
