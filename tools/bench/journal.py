"""What keeping costs a captioning run: ``python -m tools.bench.journal [N_ITEMS] [--folder DIR]``.

A worker that answers at once stands in for the model, so that all that is measured is deciding, keeping
and writing: text files, JSONL and CSV together, then a second run that finds everything done. Peak memory
is the process's own, in turn for a tenth of the items and for all of them: what does not grow is flat.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.record_file import RecordFile
from qwen3vl_edge.captions.run import CaptionRun
from qwen3vl_edge.captions.settings import ModelNames, RunSettings
from qwen3vl_edge.captions.sidecar_sink import SidecarSink
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.values import Answer, Item, Outcome, Request
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.runtime.engine import GenerateOptions, Seconds
from qwen3vl_edge.sampling import GREEDY
from tools.bench.measure import run as measured

__all__ = ["main"]

_PER_FOLDER = 1000
_TEXT = "A red circle stands to the left of a blue square on a gray ground, and a small green star is above. "


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds for `n_items`, all captioned and then all done before."""

    n_items: int
    caption_s: float
    again_s: float


def main() -> None:
    """Measure in child processes, and print a line for each number of items."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.journal", description=__doc__)
    parser.add_argument("n_items", nargs="?", type=int, default=20_000)
    parser.add_argument(
        "--folder", type=Path, help="on the disk that is measured; default: the temporary one"
    )
    parser.add_argument("--here", action="store_true", help="in this process; prints JSON")
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(json.dumps(asdict(_times(Path(folder), options.n_items))))
        return
    for n_items in (options.n_items // 10, options.n_items):
        _report(n_items, options.folder or Path(tempfile.gettempdir()))


def _report(n_items: int, folder: Path) -> None:
    said = folder / f"journal-{n_items}.json"
    command = f"'{sys.executable}' -m tools.bench.journal {n_items} --here --folder '{folder}' > '{said}'"
    peak_bytes = measured(["sh", "-c", command]).peak_bytes
    times = Times(**json.loads(said.read_text()))
    said.unlink()
    print(
        f"{n_items:8} items  caption {1e3 * times.caption_s / n_items:6.3f} ms an item"
        f"  again {1e3 * times.again_s / n_items:6.3f} ms an item  peak {peak_bytes / 1e6:6.0f} MB"
    )


def _times(folder: Path, n_items: int) -> Times:
    spent = []
    for _ in range(2):
        started = time.perf_counter()
        _caption(folder, n_items)
        spent.append(time.perf_counter() - started)
    return Times(n_items, *spent)


def _caption(folder: Path, n_items: int) -> None:
    prompt = Prompt("caption", "Describe this image.", "Describe this video.")
    worker = WorkerSettings(folder / "model", folder / "projector", (prompt,), GenerateOptions(GREEDY))
    settings = RunSettings(worker, ModelNames("model", "Q4_K_M", "0" * 64), "0.1.0")
    with Journal(folder / "captions.journal") as journal:
        sinks: list[Sink] = [SidecarSink(journal, ".txt", settings.mode, None)]
        sinks.append(RecordFile(journal, folder / "captions.jsonl", "jsonl", settings.mode, None))
        sinks.append(RecordFile(journal, folder / "captions.csv", "csv", settings.mode, None))
        CaptionRun(settings, journal, sinks).caption(_items(folder, n_items), _answered)


def _items(folder: Path, n_items: int) -> Iterator[Item]:
    for number in range(n_items):
        place = folder / f"{number // _PER_FOLDER:04}"
        place.mkdir(exist_ok=True)
        yield Item(place / f"{number:07}.jpg", "picture", 123_456, 1_700_000_000_000_000_000)


def _answered(requests: Iterator[Request]) -> Iterator[Outcome]:
    for request in requests:
        answer = Answer("Describe this image.", _TEXT * 4, "stop", 90)
        digest = hashlib.sha256(str(request.number).encode()).hexdigest()
        yield Outcome(
            request.number, "done", (answer,), content_hash=digest, width=384, height=384, seconds=Seconds()
        )


if __name__ == "__main__":
    main()
