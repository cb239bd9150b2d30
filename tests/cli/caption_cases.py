"""The command `caption` with the real supervisor and a scripted worker in place of llama.cpp."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.cli import caption_run

WORKER = Path(__file__).parents[1] / "captions" / "scripted_worker.py"


@dataclass
class Opened:
    """What supervisors were started with; ``options`` go to the scripted worker."""

    notes: Path
    options: Sequence[str] = ()
    settings: list[WorkerSettings] = field(default_factory=list)

    def supervisor(self, settings: WorkerSettings, **options: object) -> Supervisor:
        self.settings.append(settings)
        command = (sys.executable, "-P", str(WORKER), "--notes", str(self.notes), *self.options)
        return partial(Supervisor, command=command)(settings, **options)


def scripted(monkeypatch: pytest.MonkeyPatch, notes: Path) -> Opened:
    opened = Opened(notes)
    monkeypatch.setattr(caption_run, "Supervisor", opened.supervisor)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return opened


def put_pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 96), "red").save(folder / name)
    return folder
