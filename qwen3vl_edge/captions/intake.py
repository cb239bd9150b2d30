"""What comes in to the worker, and that nothing more will come."""

import os
import queue
import threading
import time

from qwen3vl_edge.captions.channel import Channel
from qwen3vl_edge.captions.values import Request
from qwen3vl_edge.runtime.engine import Engine

__all__ = ["Intake"]

_PATIENCE_S = 5.0  # with an engine that was told to stop


class Intake:
    """A thread that puts what is received into ``requests``; when no more can come, the worker ends.

    It ends within seconds, whatever it is at: nobody waits for what it does.
    """

    def __init__(self, channel: Channel) -> None:
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._channel = channel
        self._engine: Engine | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._take_in, name="intake", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, and nobody waits for anything."""
        return self._ended.is_set()

    def serve(self, engine: Engine) -> None:
        """Stop `engine` at the end."""
        self._engine = engine

    def _take_in(self) -> None:
        while (message := self._channel.receive()) is not None:
            if isinstance(message, Request):
                self.requests.put(message)
        self._ended.set()
        if self._engine is not None:  # else the model is being opened, which nobody waits for
            self._engine.cancel()
            time.sleep(_PATIENCE_S)
        os._exit(0)
