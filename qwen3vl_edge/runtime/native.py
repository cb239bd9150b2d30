"""llama.cpp as loaded into this process, its log sent to `logging`."""

import ctypes
import logging
from functools import cache
from types import FrameType, ModuleType

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.threads import let_threads_sleep

__all__ = ["Library", "library", "runs_callback"]

_log = logging.getLogger("qwen3vl_edge.native")

# enum ggml_log_level in ggml.h, llama.cpp 0c1e57098; CONT (5) goes on with the line before
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}
_CONTINUED = 5


class Library:
    """The two ctypes modules of llama-cpp-python, and what the native side complained about."""

    def __init__(self, llama: ModuleType, mtmd: ModuleType) -> None:
        self.llama = llama
        self.mtmd = mtmd
        self._complaint = ""
        self._level = logging.DEBUG
        # the native side keeps the pointer only: the callback must live as long as this object
        self._callback = llama.llama_log_callback(self._on_log)
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))
        mtmd.mtmd_log_set(self._callback, ctypes.c_void_p(0))
        mtmd.mtmd_helper_log_set(self._callback, ctypes.c_void_p(0))
        llama.llama_backend_init()

    def forget_complaints(self) -> None:
        """Begin a call whose failure is to be explained."""
        self._complaint = ""

    def complaint(self) -> str:
        """Give the first native error line since `forget_complaints`: the cause; those after it follow."""
        return self._complaint or "llama.cpp gave no reason"

    def _on_log(self, level: int, text: bytes, _user_data: object) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.DEBUG)
        if not line.strip("."):  # loading draws a row of dots
            return
        if self._level == logging.WARNING and not self._complaint:
            self._complaint = line
        _log.log(self._level, "%s", line)


def runs_callback(frame: FrameType | None) -> bool:
    """Tell whether `frame` runs inside a callback from native code, where nothing may be raised."""
    while frame is not None:
        if frame.f_code is Library._on_log.__code__:
            return True
        frame = frame.f_back
    return False


@cache
def library() -> Library:
    """Load llama.cpp, once.

    Raises:
        EngineError: llama-cpp-python is not installed or its libraries do not load.
    """
    let_threads_sleep()
    try:
        from llama_cpp import llama_cpp, mtmd_cpp  # noqa: PLC0415 -- loading takes long and can fail
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"llama-cpp-python does not load ({error}); run `make setup`") from error
    return Library(llama_cpp, mtmd_cpp)
