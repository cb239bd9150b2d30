"""Requests and settings for the scripted worker."""

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.values import Request
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import GREEDY

__all__ = ["SETTINGS", "command", "requests"]

SETTINGS = WorkerSettings(
    Path("model.gguf"),
    Path("mmproj.gguf"),
    (Prompt("name", "{name}", "{name}", max_tokens=200),),
    GenerateOptions(GREEDY),
    n_parallel=4,
)
"""The scripted engine answers with what it is asked: the file's name."""


def command(folder: Path, *options: str) -> list[str]:
    """Give what starts a scripted worker that keeps its notes in `folder`."""
    notes = folder / "notes"
    notes.mkdir(exist_ok=True)
    worker = Path(__file__).with_name("scripted_worker.py")
    return [sys.executable, "-P", str(worker), "--notes", str(notes), *options]


def requests(folder: Path, names: Sequence[str]) -> list[Request]:
    """Write a picture for each of `names`, and give the requests, numbered from 0."""
    for number, name in enumerate(names):
        Image.new("RGB", (40 + number % 7, 30), (number % 256, 90, 20)).save(folder / name, "PNG")
    return [Request(number, folder / name, "picture") for number, name in enumerate(names)]
