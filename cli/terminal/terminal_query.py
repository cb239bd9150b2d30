"""Asks the terminal itself."""

import os
import select
import sys
import time

__all__ = ["ask_terminal"]

_PATIENCE_S = 0.3


def ask_terminal(query: str) -> str:
    """Write `query` to the terminal and give its reply up to the final ``c``, "" where none comes in time."""
    if sys.platform == "win32" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return ""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)  # else the reply waits for a line end, and is shown
        sys.stdout.write(query)
        sys.stdout.flush()
        return _reply(sys.stdin.fileno())
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _reply(terminal: int) -> str:
    reply, end = b"", time.monotonic() + _PATIENCE_S
    while not reply.endswith(b"c"):
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return ""
        reply += os.read(terminal, 64)
    return reply.decode("ascii", "replace")
