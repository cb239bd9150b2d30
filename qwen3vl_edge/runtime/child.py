"""Programs of this package in processes of their own: what crashes or hangs there does no harm here.

Such a program ends its standard output with one JSON object, which has at least ``ok`` and ``reason``
(null if ok), and its exit status is 0 if ok.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qwen3vl_edge.runtime.threads import SLEEPING

__all__ = ["CRASHES", "Ended", "leave_no_core_file", "one_line", "run_child", "signal_name"]

CRASHES = frozenset({"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV"})
"""Signals that a program brings upon itself; others come from outside."""

_LONGEST_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    `reason` is one line of printable text, None if it reported success. `report` is the object that
    it printed, empty if it printed none or none that makes sense; `signal` what ended it, if one did.
    """

    reason: str | None
    report: Mapping[str, object] = field(default_factory=dict)
    signal: str | None = None

    @property
    def killed(self) -> bool:
        """Whether somebody else ended it: the user, or the system when memory ran out."""
        return self.signal is not None and self.signal not in CRASHES


def run_child(command: Sequence[str], timeout_s: float) -> Ended:
    """Run `command` to its end, or for `timeout_s` seconds; it dies with an exception in this process.

    Raises:
        OSError: it cannot be started.
    """
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            # without the last, an abort waits for a debugger to attach
            env={**SLEEPING, **os.environ, "GGML_NO_BACKTRACE": "1"},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(f"no end within {timeout_s:g} s")
    return _ended(child)


def leave_no_core_file() -> None:
    """Keep a crash of this process from writing all its memory, the model in it, to the disk."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _ended(child: subprocess.CompletedProcess[str]) -> Ended:
    last_words = one_line(child.stderr.strip().rpartition("\n")[2])
    if child.returncode < 0:
        name = signal_name(-child.returncode)
        return Ended(f"crash ({name}){f', its last words: {last_words}' if last_words else ''}", signal=name)
    report = _last_object(child.stdout)
    if child.returncode == 0 and report.get("ok") is True:
        return Ended(None, report)
    if isinstance(report.get("reason"), str):
        return Ended(one_line(str(report["reason"])), report)
    return Ended(f"{last_words or 'no output'} (exit status {child.returncode})")


def _last_object(output: str) -> dict[str, object]:
    try:
        report = json.loads(output.strip().rpartition("\n")[2])
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def one_line(text: str) -> str:
    """Take out what would move a terminal's cursor: a model's file can make llama.cpp say anything."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown[:_LONGEST_REASON].split())


def signal_name(number: int) -> str:
    """Give what a signal is called."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
