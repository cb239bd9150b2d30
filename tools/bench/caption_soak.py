"""Many pictures through the real command: ``python -m tools.bench.caption_soak [--pictures N] [--files N]``.

First a dry scan of folders of hard links to one picture, and of a tenth of them: what does not grow is
flat. Then the demo model captions pictures of its world, no two alike, into text files and JSONL, while
the resident memory of the command and of its worker is read every few seconds; then the same command
again, which finds everything done. Linux only: memory is read from ``/proc``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tools.bench.measure import run as measured
from tools.demo_model.world import held_out_rng, sample_kinds, sample_scene

__all__ = ["main", "soak"]

CLI = str(Path(sys.executable).parent / "qwen3vl-edge")
_PER_FOLDER = 1000
_N_SCENES = 500  # drawn; the others differ from them in one pixel, and so in their bytes
_FIRST_SCENE = 80_000
_EVERY_S = 2.0
_N_SHOWN = 8
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """What was resident at a moment of the run, in bytes; ``n_done`` pictures had their captions."""

    seconds: float
    n_done: int
    command_bytes: int
    worker_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Scan, caption, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.caption_soak")
    parser.add_argument("--pictures", type=int, default=20_000, help="that are captioned")
    parser.add_argument("--files", type=int, default=100_000, help="that are scanned")
    parser.add_argument("--threads", type=int, default=2, help="of the model")
    parser.add_argument("--folder", type=Path, help="on the disk that is used; default: the temporary one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.files:
            _scan(folder / "scan", options.files)
        if options.pictures:
            soak(folder, options.pictures, options.threads)


def _scan(folder: Path, n_files: int) -> None:
    print(f"\nsoak: caption --dry-run over {n_files // 10} and {n_files} files")
    for count in (n_files // 10, n_files):
        _put_links(folder / str(count), count)
        found = measured([CLI, "caption", "demo", str(folder / str(count)), "-r", "--dry-run"])
        print(f"  {count:8} files  {found.seconds:8.2f} s  peak {found.peak_bytes / 1e6:6.0f} MB")


def soak(folder: Path, n_pictures: int, n_threads: int) -> None:
    """Caption `n_pictures` drawn pictures, twice, and print what that took."""
    put_pictures(folder / "pictures", n_pictures)
    command = _command(folder, n_threads)
    started = time.perf_counter()
    samples = _watched(command, folder)
    seconds = time.perf_counter() - started
    print(f"\nsoak: {n_pictures} pictures in {seconds:.0f} s, {n_pictures / seconds:.1f} a second")
    for sample in _spread(samples):
        print(
            f"  {sample.seconds:7.0f} s  {sample.n_done:7} done  command {sample.command_bytes / 1e6:5.0f} MB"
            f"  worker {sample.worker_bytes / 1e6:5.0f} MB"
        )
    again = measured(command)
    journal = folder / "captions.jsonl.journal"
    print(
        f"  again  {again.seconds:7.1f} s ({1e3 * again.seconds / n_pictures:.2f} ms a picture, start"
        f" included), peak {again.peak_bytes / 1e6:.0f} MB; journal {journal.stat().st_size / 1e6:.1f} MB"
    )


def put_pictures(folder: Path, n_pictures: int) -> None:
    """Draw pictures of one shape each into sub-folders of `folder`; no two files are alike."""
    drawn: list[npt.NDArray[np.uint8]] = []
    for number in range(n_pictures):
        if number < _N_SCENES:
            rng = held_out_rng(_FIRST_SCENE + number)
            drawn.append(np.asarray(sample_scene(rng, sample_kinds(rng, 1)).draw()))  # (h, w, 3) uint8
        pixels = drawn[number % _N_SCENES].copy()
        pixels[0, 0] = number % 200, number // 200 % 200, number // 40_000
        place = folder / f"{number // _PER_FOLDER:04}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:07}.png", compress_level=1)


def _put_links(folder: Path, n_files: int) -> None:
    for number in range(n_files):
        place = folder / f"{number // _PER_FOLDER:04}"
        first = place / "first.png"  # of each folder: a file system has a limit of links to one file
        if not place.exists():
            place.mkdir(parents=True)
            Image.new("RGB", (32, 32), "red").save(first)
        else:
            os.link(first, place / f"{number:07}.png")


def _command(folder: Path, n_threads: int) -> list[str]:
    outputs = ["-o", str(folder / "captions.jsonl"), "--sidecar", ".txt"]
    told = ["--events", str(folder / "events.jsonl"), "--quiet"]
    how = ["-r", "--temperature", "0", "--threads", str(n_threads)]
    return [CLI, "caption", "demo", str(folder / "pictures"), *outputs, *told, *how]


def _watched(command: Sequence[str], folder: Path) -> list[Sample]:
    """Run `command` to its end, reading its memory every few seconds.

    Raises:
        RuntimeError: It failed.
    """
    samples = []
    started = time.perf_counter()
    with subprocess.Popen(command) as process:
        while True:
            try:
                process.wait(_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                seconds = time.perf_counter() - started
                samples.append(Sample(seconds, _n_done(folder), *_resident(process.pid)))
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}")
    return samples


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Pick a few of `samples`, evenly in time, the last one among them."""
    step = max(1, len(samples) // _N_SHOWN)
    return [*samples[step - 1 : -1 : step], *samples[-1:]]


def _n_done(folder: Path) -> int:
    """Read from the last events how many pictures have captions."""
    events = folder / "events.jsonl"
    if not events.exists():
        return 0
    with events.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
        lines = file.read().splitlines()[1:-1]  # the first and the last may be cut
    told = [json.loads(line) for line in lines if b'"progress"' in line]
    return int(told[-1]["done"]) if told else 0


def _resident(pid: int) -> tuple[int, int]:
    """Give the resident bytes of a process, and those of its children together."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        workers = [int(child) for child in children.read_text().split()]
    except OSError:
        workers = []
    return _rss(pid), sum(map(_rss, workers))


def _rss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("VmRSS")), 0)


if __name__ == "__main__":
    main()
