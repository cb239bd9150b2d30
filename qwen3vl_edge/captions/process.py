"""The supervisor's end of one worker process: what it says, what goes to it, and how it ended."""

import logging
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from qwen3vl_edge.captions.values import Request
from qwen3vl_edge.captions.wire import Message, WireError, decode, encode
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.child import CRASHES, one_line, signal_name
from qwen3vl_edge.runtime.threads import SLEEPING

__all__ = ["Ended", "WorkerProcess"]

_log = logging.getLogger("qwen3vl_edge.captions.worker")

_MOST_WAITING = 1024  # messages; a worker that is faster than its supervisor waits
_LAST_LINES, _LINE_BYTES = 40, 1000  # of standard error that are kept
_MESSAGE_BYTES = 64 << 20  # the longest; an answer of a million tokens is shorter
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended: by a signal or with an exit status; ``last_words`` is one line, or empty.

    One that could not be understood, or that closed its pipe and went on, is ended with status 0.
    """

    signal: str | None
    status: int
    last_words: str

    @property
    def from_outside(self) -> bool:
        """Whether somebody else ended it: the system when memory ran out, or a person."""
        return self.signal is not None and self.signal not in CRASHES

    def __str__(self) -> str:
        how = f"crash ({self.signal})" if self.signal else f"exit status {self.status}"
        if self.from_outside:
            how = f"killed from outside ({self.signal}), by the system if memory ran out"
        return f"{how}, last words: {self.last_words}" if self.last_words else how


class WorkerProcess:
    """A worker that has been started and told its settings.

    Threads read what it says and write what it is told: whatever state it is in, nobody waits for it
    longer than wanted.

    Raises:
        EngineError: It cannot be started.
    """

    def __init__(self, command: Sequence[str], settings: WorkerSettings) -> None:
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # without the last, an abort waits for a debugger to attach
                env={**SLEEPING, **os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        except OSError as failure:
            raise EngineError(f"no worker process can be started: {failure.strerror}") from failure
        self._said: queue.Queue[Message | Ended] = queue.Queue(_MOST_WAITING)
        self._to_say: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._to_say.put(settings)
        self._nobody_listens = threading.Event()
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        assert self._child.stdin and self._child.stdout and self._child.stderr  # noqa: S101 -- all are pipes
        self._overhearing = _thread(self._overhear, self._child.stderr)
        self._listening = _thread(self._listen, self._child.stdout)  # waits for the other at the end
        self._talking = _thread(self._talk, self._child.stdin)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.pid

    def send(self, request: Request) -> None:
        """Pass on `request`; never waits."""
        self._to_say.put(request)

    def receive(self, timeout_s: float) -> Message | Ended | None:
        """Give the next message, `Ended` as the last one, None if there was none within `timeout_s`."""
        try:
            return self._said.get(timeout=timeout_s) if timeout_s > 0 else self._said.get_nowait()
        except queue.Empty:
            return None

    def finish(self) -> None:
        """Tell the worker that nothing more comes: it stops whatever it is at, soon, and ends."""
        self._to_say.put(None)

    def kill(self) -> None:
        """End the worker at once; `receive` goes on until `Ended`."""
        self._child.kill()

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """End the worker, by force after `patience_s`, and everything that served it."""
        self._nobody_listens.set()
        self.finish()
        try:
            self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._child.kill()
            self._child.wait()
        for thread in (self._listening, self._overhearing, self._talking):
            thread.join(_PATIENCE_S)

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            try:
                while line := pipe.readline(_MESSAGE_BYTES):
                    self._pass_on(decode(line))
            except WireError as error:
                self._child.kill()
                self._child.wait()
                self._pass_on(Ended(None, 0, one_line(str(error))))
                return
        self._pass_on(self._ended())

    def _ended(self) -> Ended:
        """Wait for the end, which is near: the worker says nothing more."""
        try:
            status = self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            status = 0
        self._overhearing.join(_PATIENCE_S)
        name = signal_name(-status) if status < 0 else None
        said = (one_line(line) for line in reversed(list(self._last_lines)))
        return Ended(name, status, next(filter(None, said), ""))

    def _pass_on(self, message: Message | Ended) -> None:
        while not self._nobody_listens.is_set():
            with suppress(queue.Full):
                self._said.put(message, timeout=_PATIENCE_S)
                return

    def _overhear(self, pipe: IO[bytes]) -> None:
        with pipe:
            while raw := pipe.readline(_LINE_BYTES):
                line = raw.decode("utf-8", "replace").rstrip()
                if line:
                    self._last_lines.append(line)
                    _log.debug("%s", line)

    def _talk(self, pipe: IO[bytes]) -> None:
        with suppress(OSError), pipe:  # it has ended: whoever listens learns that
            while (message := self._to_say.get()) is not None:
                pipe.write(encode(message))
                pipe.flush()


def _thread(serve: Callable[[IO[bytes]], None], pipe: IO[bytes]) -> threading.Thread:
    thread = threading.Thread(target=serve, args=(pipe,), daemon=True)
    thread.start()
    return thread
