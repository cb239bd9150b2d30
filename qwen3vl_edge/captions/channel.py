"""The worker's end of the pipes, out of reach of everything that prints."""

import ctypes
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from qwen3vl_edge.captions.wire import Fault, Message, decode, encode
from qwen3vl_edge.runtime.child import leave_no_core_file

__all__ = ["NOBODY_LISTENS", "Channel", "stand_alone"]

NOBODY_LISTENS = 3
"""Exit status of a worker whose supervisor is gone."""

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_OOM_SCORE, _TAKE_ME_FIRST = Path("/proc/self/oom_score_adj"), 500  # proc(5): -1000 to 1000


class Channel:
    """Messages in and out; any thread may send."""

    def __init__(self, reads: BinaryIO, writes: BinaryIO) -> None:
        self._reads, self._writes = reads, writes
        self._lock = threading.Lock()

    @classmethod
    def take_over(cls) -> Self:
        """Take standard input and output for messages; what prints there from now on goes to standard error.

        To be called before anything native is loaded. Programs that are started later do not inherit
        the pipes: they end with this process.
        """
        reads, writes = os.dup(_STDIN), os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _STDIN)
        os.close(nothing)
        return cls(os.fdopen(reads, "rb"), os.fdopen(writes, "wb"))

    def receive(self) -> Message | None:
        """Wait for a message; None if no more will come.

        Raises:
            WireError: It makes no sense.
            UsageError: A setting is out of range.
        """
        line = self._reads.readline()
        return decode(line) if line else None

    def send(self, message: Message) -> None:
        """Send `message` at once; if nobody listens any more, the process ends."""
        with self._lock:
            try:
                self._writes.write(encode(message))
                self._writes.flush()
            except OSError:
                os._exit(NOBODY_LISTENS)

    def end_with_thread(self, failure: threading.ExceptHookArgs) -> None:
        """End the process as a failed thread (`threading.excepthook`): its requests would never be done."""
        if issubclass(failure.exc_type, MemoryError):
            self.send(Fault("memory", f"no memory in the {failure.thread and failure.thread.name}"))
        else:
            traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
        sys.stderr.flush()
        os._exit(1)


def stand_alone() -> None:
    """Make this process a good worker: it ends with its supervisor, and by nothing else.

    Ctrl-C in a terminal is for the supervisor, which then ends this process in good order. Where the
    supervisor is killed, Linux kills this process, too; elsewhere the end of its input tells it. Where
    memory runs out, Linux shall end this process and not the one that keeps the results.
    """
    leave_no_core_file()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # no such file in some containers
            _OOM_SCORE.write_text(str(_TAKE_ME_FIRST))
