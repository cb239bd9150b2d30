"""``python -m tests.captions.killed_runs FOLDER MODE N SEED``: a run over FOLDER/p, killed N times.

Each attempt is a fork, killed with SIGKILL after a random time. Prints how many were killed while at work
and how often each item was asked about at most.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

from qwen3vl_edge.captions import outlet
from qwen3vl_edge.captions.modes import Mode
from qwen3vl_edge.captions.values import Outcome, Request
from tests.captions.run_cases import Case, settings_for

_LONGEST_S = 0.06
_MOST_ATTEMPTS = 400


class Logged(Case):
    """Answers after a moment, and notes each question in a file."""

    def outcome(self, request: Request) -> Outcome:
        time.sleep(0.0005)
        with (self.folder.parent / "asked").open("a") as log:
            log.write(f"{request.path.name}\n")
        return super().outcome(request)


def case_in(folder: Path) -> Case:
    """Give the run: text files, JSONL and CSV at once."""
    files = [(folder / "out.jsonl", "jsonl"), (folder / "out.csv", "csv")]
    return Logged(folder / "p", files=files, journal=folder / "journal")  # type: ignore[arg-type]


def main(folder: Path, mode: Mode, n_kills: int, seed: int) -> None:
    """Kill `n_kills` attempts, then let one come to its end."""
    outlet._MOST_ITEMS = 5  # more moments between a commit and what follows
    draw = random.Random(seed)
    n_killed = 0
    for _ in range(_MOST_ATTEMPTS):
        if n_killed == n_kills:
            break
        n_killed += _is_killed(folder, mode, draw.uniform(0, _LONGEST_S))
    case_in(folder).run(settings_for("New", mode=mode))
    asked = Counter((folder / "asked").read_text().split())
    sys.stdout.write(f"{n_killed} {max(asked.values())}\n")


def _is_killed(folder: Path, mode: Mode, after_s: float) -> bool:
    child = os.fork()
    if child == 0:
        case_in(folder).run(settings_for("New", mode=mode))
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast(Mode, sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
