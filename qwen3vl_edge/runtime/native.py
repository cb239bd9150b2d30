"""llama.cpp as loaded into this process, its log sent to `logging`."""

import ctypes
import logging
import sys
from collections.abc import Callable
from functools import cache
from types import FrameType, ModuleType
from typing import Protocol

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.threads import let_threads_sleep

__all__ = ["Cancelled", "Library", "NodeObserver", "cancel", "encoder_steps", "library", "runs_callback"]

_log = logging.getLogger("qwen3vl_edge.native")

# enum ggml_log_level in ggml.h, llama.cpp 0c1e57098; CONT (5) goes on with the line before
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}
_CONTINUED = 5
_NODES_BETWEEN_LOOKS = 32  # graphs have hundreds: a large picture is then given up within a second


class Cancelled(EngineError):
    """The work was given up because `Library.cancel` asked for that."""

    def __init__(self) -> None:
        super().__init__("cancelled")


class NodeObserver(Protocol):
    """Looks at the nodes of a graph while llama.cpp computes it; a node is the address of a ggml_tensor."""

    def wants(self, node: int) -> bool:
        """Tell whether `node` is to be seen once it is computed."""

    def take(self, node: int) -> None:
        """See `node`, computed, with what it was computed from."""


class Library:
    """The two ctypes modules of llama-cpp-python, and what the native side complained about."""

    def __init__(self, llama: ModuleType, mtmd: ModuleType) -> None:
        self.llama = llama
        self.mtmd = mtmd
        self._complaint = ""
        self._level = logging.DEBUG
        # the native side keeps the pointer only: the callback must live as long as this object
        self._callback = llama.llama_log_callback(self._on_log)
        self._cancel = ctypes.create_string_buffer(2)
        self.abort_callback = _non_empty(llama), ctypes.cast(self._cancel, ctypes.c_void_p)
        """Function and argument by which llama.cpp asks, after each node, whether to go on."""
        self.eval_callback = llama.ggml_backend_sched_eval_callback(self._on_node)
        """The same for the vision encoder, which knows no abort."""
        self._n_nodes = 0
        self.progress_callback = llama.llama_progress_callback(self._on_progress)
        """Called while a model is loaded; see `report_loading`."""
        self._report_share: Callable[[float], None] | None = None
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))
        mtmd.mtmd_log_set(self._callback, ctypes.c_void_p(0))
        mtmd.mtmd_helper_log_set(self._callback, ctypes.c_void_p(0))
        llama.llama_backend_init()

    def cancel(self) -> None:
        """Give up what is being evaluated or encoded, soon; any thread may call this."""
        self._cancel.value = b"x"

    def go_on(self) -> None:
        """Take `cancel` back: something new begins."""
        self._cancel.value = b""

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if that was asked for since `go_on`."""
        if self._cancel.value:
            raise Cancelled

    def report_loading(self, report: Callable[[float], None] | None) -> None:
        """Have `report` told, from now on, the share of a model that is loaded, 0 to 1."""
        self._report_share = report

    def forget_complaints(self) -> None:
        """Begin a call whose failure is to be explained."""
        self._complaint = ""

    def complaint(self) -> str:
        """Give the first native error line since `forget_complaints`: the cause; those after it follow."""
        return self._complaint or "llama.cpp gave no reason"

    def observed_by(self, observer: NodeObserver) -> object:
        """Give an `eval_callback` that shows nodes to `observer`, and still gives up when cancelled.

        It must be kept for as long as anything is computed with it.
        """
        return self.llama.ggml_backend_sched_eval_callback(_Observed(self, observer).on_node)

    def is_cancelled(self) -> bool:
        """Tell whether `cancel` was asked for since `go_on`."""
        return bool(self._cancel.value)

    @property
    def n_nodes(self) -> int:
        """How many nodes of its graphs the vision encoder has come to so far."""
        return self._n_nodes

    def _on_node(self, _tensor: int | None, asks: bool, _user_data: object) -> bool:
        """Tell the encoder where to halt and, there, whether to go on; see ggml-backend.h."""
        if not asks:
            return not self._cancel.value
        self._n_nodes += 1
        return self._n_nodes % _NODES_BETWEEN_LOOKS == 0

    def _on_progress(self, share: float, _user_data: object) -> bool:
        if self._report_share is not None:
            self._report_share(share)
        return not self._cancel.value

    def _on_log(self, level: int, text: bytes, _user_data: object) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.DEBUG)
        if not line.strip("."):  # loading draws a row of dots
            return
        if self._level == logging.WARNING and not self._complaint:
            self._complaint = line
        _log.log(self._level, "%s", line)


class _Observed:
    """Nodes on their way to an observer."""

    def __init__(self, native: Library, observer: NodeObserver) -> None:
        self._native, self._observer = native, observer
        self._n_nodes = 0
        self._wanted = False  # the node that was asked about last

    def on_node(self, node: int, asks: bool, _user_data: object) -> bool:
        """Answer the scheduler; see ggml-backend.h."""
        if asks:
            self._n_nodes += 1
            self._wanted = self._observer.wants(node)
            return self._wanted or self._n_nodes % _NODES_BETWEEN_LOOKS == 0
        if self._wanted and not self._native.is_cancelled():
            self._observer.take(node)
        return not self._native.is_cancelled()


_CALLBACKS = {
    callback.__code__
    for callback in (Library._on_log, Library._on_node, Library._on_progress, _Observed.on_node)
}


def runs_callback(frame: FrameType | None) -> bool:
    """Tell whether `frame` runs inside a callback from native code, where nothing may be raised."""
    while frame is not None:
        if frame.f_code in _CALLBACKS:
            return True
        frame = frame.f_back
    return False


def _non_empty(llama: ModuleType) -> object:
    """Give C's strlen as an abort callback: its argument is a flag, a text that is empty or not.

    It is asked hundreds of times a token. A function of Python's would have to wait for the
    interpreter's lock each time, and other threads hold that.
    """
    libc = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    return llama.ggml_abort_callback(ctypes.cast(libc.strlen, ctypes.c_void_p).value)


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


def cancel() -> None:
    """Call `Library.cancel` if llama.cpp has been loaded."""
    if library.cache_info().currsize:
        library().cancel()


def encoder_steps() -> int:
    """Give `Library.n_nodes`, 0 before llama.cpp is loaded: it stands still while the encoder hangs."""
    return library().n_nodes if library.cache_info().currsize else 0
