"""Pictures of the demo model's world, the real command over them, and what must be there at the end."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.captions.test_record_file import captions_in
from tools.demo_model.picture_questions import listed
from tools.demo_model.score import exact
from tools.demo_model.world import held_out_rng, sample_kinds, sample_scene

__all__ = ["Proof", "captions_kept", "killed_often", "put_world", "share_right"]

COMMAND = (sys.executable, "-P", "-c", "from qwen3vl_edge.cli.main import run; run()")
_FIRST_SCENE = 70_000
_LONGEST_S = 300.0
_WORKER_ENDS_S = 20.0


def put_world(folder: Path, n_pictures: int) -> dict[str, str]:
    """Draw pictures of one shape each; gives what each shows, by its name."""
    folder.mkdir(exist_ok=True)
    shown = {}
    for number in range(n_pictures):
        rng = held_out_rng(_FIRST_SCENE + number)
        scene = sample_scene(rng, sample_kinds(rng, 1))
        scene.draw().save(folder / f"{number:03}.png")
        shown[f"{number:03}.png"] = listed([scene.items[0].name])
    return shown


def share_right(captions: Mapping[str, str], shown: Mapping[str, str]) -> float:
    """Give how many of the pictures are captioned exactly, as a part of all."""
    return sum(exact(captions.get(name, ""), text) for name, text in shown.items()) / len(shown)


@dataclass(frozen=True)
class Proof:
    """The command over ``folder/p``: text files beside the pictures, and JSONL and CSV in `folder`.

    ``starter`` is what stands before the command's name, ``prefix`` what before that.
    """

    folder: Path
    starter: Sequence[str] = COMMAND
    prefix: Sequence[str] = ()

    @property
    def pictures(self) -> Path:
        return self.folder / "p"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        outputs = ["-o", str(self.folder / "out.jsonl"), "-o", str(self.folder / "out.csv")]
        how = ["--sidecar", ".txt", "--temperature", "0", "--threads", "2"]
        return subprocess.Popen(
            [*self.prefix, *self.starter, "caption", "demo", str(self.pictures), *outputs, *how, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end; gives exit code and standard error."""
        with self.start(*arguments) as process:
            try:
                _, said = process.communicate(timeout=_LONGEST_S)
            finally:
                _kill(process, os.killpg)
        assert "Traceback" not in said
        return process.returncode, said

    def n_written(self) -> int:
        out = self.folder / "out.jsonl"
        return out.read_bytes().count(b"\n") if out.exists() else 0


def killed_often(proof: Proof, n_kills: int, n_files: int, seed: int) -> int:
    """Kill the command, or it and its worker, at random moments; gives how often that hit it at work.

    The moments are spread over the whole work: each is a number of files that have been dealt with, and a
    little later; where there were as many before the start, it is a moment of the start.
    """
    draw = random.Random(seed)
    n_killed = 0
    for wanted in sorted(draw.randrange(n_files) for _ in range(n_kills)):
        is_there = proof.n_written() >= wanted
        process = proof.start("--quiet")
        until_s = time.monotonic() + _LONGEST_S
        while proof.n_written() < wanted and process.poll() is None and time.monotonic() < until_s:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2.5 if is_there else 0.2))
        n_killed += process.poll() is None
        _kill(process, draw.choice((os.kill, os.killpg)))
        process.communicate()
        assert _has_ended(process.pid)
    return n_killed


def _kill(process: subprocess.Popen[str], kill: Callable[[int, int], None]) -> None:
    with suppress(ProcessLookupError):
        kill(process.pid, signal.SIGKILL)


def _has_ended(group: int) -> bool:
    """Wait until nothing is left of the command's process group: its worker ends with it."""
    until_s = time.monotonic() + _WORKER_ENDS_S
    while time.monotonic() < until_s:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def captions_kept(proof: Proof, expected_errors: Mapping[str, str]) -> dict[str, str]:
    """Check that each file is everywhere exactly once, and nothing else is there; gives the captions.

    Args:
        proof: After its last run.
        expected_errors: Bad files, and what must be said of each, as a regular expression.
    """
    records = [json.loads(line) for line in (proof.folder / "out.jsonl").read_bytes().splitlines()]
    by_name = {Path(record["path"]).name: record for record in records}
    assert len(by_name) == len(records)
    captions = {name: str(record["caption"]) for name, record in by_name.items() if "caption" in record}
    errors = {name: str(record["error"]) for name, record in by_name.items() if "error" in record}
    assert errors.keys() == expected_errors.keys()
    for name, pattern in expected_errors.items():
        assert name in errors[name] and re.search(pattern, errors[name]), errors[name]
    table = captions_in(proof.folder / "out.csv")
    assert max(Counter(name for name, _ in table).values()) == 1
    assert {name: text for name, text in table if name in captions} == captions
    assert {name for name, _ in table} == by_name.keys()
    texts = {f"{path.stem}.png": path.read_text() for path in proof.pictures.glob("*.txt")}
    assert texts == captions
    left = [path.name for path in proof.folder.rglob("*") if path.suffix in {".part", ".lock"}]
    assert not left
    return captions
