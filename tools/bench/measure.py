"""Wall time and peak memory of commands run in turn; ``python -m tools.bench.measure COMMAND…`` of one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Command", "Measured", "in_turn", "run"]

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux

_SHOWN_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and the folder that is emptied before: what it writes stays until the next run."""

    arguments: Sequence[str]
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Best wall time in seconds, largest resident set in bytes (on Linux no less than this program's own)."""

    seconds: float
    peak_bytes: int


def in_turn(commands: Mapping[str, Command], n_rounds: int) -> dict[str, Measured]:
    """Run all commands one after the other, `n_rounds` times.

    The disk is flushed before each, so that none waits for what another has written.

    Raises:
        RuntimeError: A command failed.
    """
    found: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(n_rounds):
        for name, command in commands.items():
            if command.output:
                shutil.rmtree(command.output, ignore_errors=True)
                command.output.mkdir()
            os.sync()
            found[name].append(run(command.arguments))
    return {
        name: Measured(min(run.seconds for run in runs), max(run.peak_bytes for run in runs))
        for name, runs in found.items()
    }


def run(arguments: Sequence[str]) -> Measured:
    """Run a command once.

    Raises:
        RuntimeError: It failed; with the end of what it said.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=said) as process:
            _, status, usage = os.wait4(process.pid, 0)  # the only call that tells a single child's memory
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            end = said.read()[-_SHOWN_BYTES:].decode(errors="replace")
            raise RuntimeError(f"exit code {process.returncode}: {' '.join(arguments)}\n{end}")
    return Measured(seconds, usage.ru_maxrss * _RSS_UNIT_BYTES)


if __name__ == "__main__":
    print(json.dumps(asdict(run(sys.argv[1:]))))
