"""The command `qwen3vl-edge` from its start to its end: the one place where errors become exit codes.

The commands are loaded when Ctrl-C is heard already, for that takes a moment.
"""

import io
import os
import sys
from typing import Literal, TextIO

from qwen3vl_edge.cli.interrupt import INTERRUPTED, Interrupted, Interrupts, raise_on_interrupt
from qwen3vl_edge.errors import EdgeError, UsageError

__all__ = ["run"]

_USAGE = 2
_FAILURE = 1


def __getattr__(name: str) -> object:
    """Give ``app``, which loads every command, to those who ask for it."""
    if name == "app":
        from qwen3vl_edge.cli.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run() -> None:
    """Run the command; errors become one line on stderr and exit code 1, or 2 for a wrong call."""
    _replace_closed_streams()
    interrupts = Interrupts()
    try:
        raise_on_interrupt(interrupts)
        code, message = _run_command()
    except (Interrupted, KeyboardInterrupt):
        code, message = INTERRUPTED, ""
    if interrupts.end() or code == INTERRUPTED:
        sys.stderr.write("qwen3vl-edge: interrupted\n")
        sys.exit(INTERRUPTED)
    if message:
        from qwen3vl_edge.cli.plain_text import escaped

        sys.stderr.write(f"qwen3vl-edge: {escaped(message)}\n")
    sys.exit(code)


def _run_command() -> tuple[int | str | None, str]:
    """Give the exit code and what is to be said of it."""
    try:
        _allow_any_text()
        _hide_warnings()
        from qwen3vl_edge.cli.app import app

        app()
    except SystemExit as end:  # typer's way to return
        return end.code, ""
    except EdgeError as error:
        return _USAGE if isinstance(error, UsageError) else _FAILURE, f"error: {error}"
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _FAILURE, f"error: {error.strerror or error}{where}"
    except MemoryError:
        return _FAILURE, "error: out of memory; close other programs, or use a smaller model or type"
    return 0, ""


def _replace_closed_streams() -> None:
    """Have an empty stream where a standard one is closed.

    Python has None there, and the next file to be opened would get the stream's number: what native code
    writes to standard error would end up in it.
    """
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")


def _nothing(mode: Literal["r", "w"]) -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")


def _hide_warnings() -> None:
    """Silence Python's warnings, which are for developers: Pillow has one for every large picture."""
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _allow_any_text() -> None:
    """Let file names, and questions, that are no valid text through as the bytes that they are."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
