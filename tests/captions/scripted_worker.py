"""The real worker with a scripted engine, and with faults: ``scripted_worker.py [OPTIONS]``.

What a file is called says what happens when the engine comes to it: ``abort``, ``segfault``, ``exit``,
``killed``, ``hang``, ``busy`` (four seconds of native work), ``noise``, ``memory``, ``engine``. What
begins with ``read-`` happens while it is read.
With ``-once`` at the end of its stem it happens the first time only.
"""

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qwen3vl_edge.captions import loading, worker
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EngineError, GGUFError
from qwen3vl_edge.images import Picture
from qwen3vl_edge.limits import ImageLimits, MediaLimits
from qwen3vl_edge.progress import Progress
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import Engine
from qwen3vl_edge.runtime.fake import ScriptedEngine

_NOISE = b'{"type": "Outcome"\n\xff\x00 not JSON'


class Faults:
    """What goes wrong; `notes` is a folder that outlives workers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.notes: Path = options.notes
        self.n_answers = self.n_steps = 0
        self.engine: ScriptedEngine | None = None

    def answer(self, parts: Sequence[Part]) -> str:
        """Answer with what was asked, or do harm."""
        text = "".join(part.text for part in parts if isinstance(part, TextPart) and not part.parse_special)
        asked = text.partition("[user]")[2].partition("[assistant]")[0]
        self.happen(asked)
        self.n_answers += 1
        if self.engine:
            self.engine.prompts.clear()  # thousands of pictures would stay in memory
            self.engine.options.clear()
        if self.options.abort_every and self.n_answers % self.options.abort_every == 0:
            os.abort()
        if self.options.too_many is not None and self.options.n_parallel > self.options.too_many:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.options.slow_s)
        return f"a caption of {asked}"

    def happen(self, name: str) -> None:
        """Do what `name` says."""
        stem = Path(name).stem
        if stem.endswith("-once"):
            note = self.notes / stem
            if note.exists():
                return
            note.touch()
        match stem.removesuffix("-once").split("_")[0]:
            case "abort":
                os.write(2, b"ggml.c:1: GGML_ASSERT(false) failed\n")
                os.abort()
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(7)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(3600)
            case "busy":
                for self.n_steps in range(40):
                    time.sleep(0.1)
            case "noise":
                print(_NOISE * 10_000)  # noqa: T201 -- as a library might
                os.write(1, _NOISE * 10_000)
                os.write(2, b"\xff\x1b[31m a lot\n" * 100_000)
            case "memory":
                bytearray(1 << 62)
            case "engine":
                raise EngineError("llama.cpp failed to evaluate (-3): nobody knows why")

    def load(
        self, data: bytes, path: Path, limits: ImageLimits, media: MediaLimits
    ) -> tuple[Picture, tuple[int, int]]:
        """Decode a picture, or do harm in a thread."""
        if path.name.startswith("read-"):
            self.happen(path.name.removeprefix("read-"))
        return _LOAD(data, path, limits, media)

    @contextmanager
    def open(self, settings: WorkerSettings, progress: Progress) -> Iterator[Engine]:
        """Open the scripted engine, or do not."""
        self.options.n_parallel = settings.n_parallel or 4
        with progress.task("opening", 1, "%") as task:
            task.advance()
        match self.options.opening:
            case "refused":
                raise EngineError("no memory worth mentioning" if settings.n_parallel != 1 else "too small")
            case "damaged":
                raise GGUFError("model.gguf is damaged")
            case "abort":
                os.abort()
            case "hang":
                time.sleep(3600)
        self.engine = ScriptedEngine(self.answer, n_ctx=self.options.n_ctx)
        yield self.engine


_LOAD = loading.load_picture_bytes

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--abort-every", type=int, default=0)
    parser.add_argument("--too-many", type=int, help="sequences from which on memory runs out")
    parser.add_argument("--opening", default="")
    parser.add_argument("--slow-s", type=float, default=0.0)
    parser.add_argument("--n-ctx", type=int, default=1 << 16)
    faults = Faults(parser.parse_args())
    loading.load_picture_bytes = faults.load
    worker.encoder_steps = lambda: faults.n_steps
    sys.exit(worker.main(faults.open))
