"""How a terminal can draw a picture, from its names in the environment and, asked, from itself."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Ask", "Cell", "Protocol", "ask_cell", "detect_protocol", "has_truecolor"]

Protocol = Literal["kitty", "iterm2", "sixel", "blocks", "none"]

Ask = Callable[[str], str]
"""Writes a query to the terminal and returns its reply up to the final `c`, "" where none came in time."""

_BY_TERM: Final[Mapping[str, Protocol]] = {
    "kitty": "kitty",
    "ghostty": "kitty",
    "wezterm": "iterm2",
    "sixel": "sixel",
    "foot": "sixel",
    "mlterm": "sixel",
}
"""By a part of TERM, which every terminal sets itself and ssh passes on."""

_BY_PROGRAM: Final[Mapping[str, Protocol]] = {
    "ghostty": "kitty",
    "iTerm.app": "iterm2",
    "kitty": "kitty",
    "WezTerm": "iterm2",  # its own protocol in all versions; kitty's only by a setting
}
"""By TERM_PROGRAM."""

_MULTIPLEXERS: Final = ("TMUX", "STY", "ZELLIJ")

_DEVICE_ATTRIBUTES: Final = "\x1b[c"  # xterm ctlseqs, Primary DA: every terminal answers
_SIXEL_ATTRIBUTE: Final = "4"
_CELL_SIZE: Final = "\x1b[16t"  # xterm ctlseqs, XTWINOPS 16: CSI 6 ; height ; width t
_MAX_CELL_PX: Final = 200


@dataclass(frozen=True)
class Cell:
    """The size of one character cell in pixels of the screen."""

    width_px: int
    height_px: int


def detect_protocol(environ: Mapping[str, str], is_terminal: bool, ask: Ask | None = None) -> Protocol:
    """Find the best way to draw a picture on this terminal.

    Inside tmux, GNU screen and Zellij it is half-blocks: whether they pass pictures on, and put them where
    their window is, cannot be known from inside.

    Args:
        environ: The environment variables.
        is_terminal: Whether the text goes to a terminal.
        ask: Asked for the terminal's attributes where the environment does not name it; None: not asked.
    """
    term = environ.get("TERM", "")
    # https://no-color.org: counts when it is there and not empty
    if not is_terminal or environ.get("NO_COLOR") or term in {"dumb", "unknown"} or term.startswith("vt"):
        return "none"
    if any(environ.get(name) for name in _MULTIPLEXERS) or term.startswith(("screen", "tmux")):
        return "blocks"
    named = _named(environ, term)
    if named is not None:
        return named
    return "sixel" if ask is not None and _has_sixels(ask(_DEVICE_ATTRIBUTES)) else "blocks"


def _named(environ: Mapping[str, str], term: str) -> Protocol | None:
    """Give what the names say, the surest first: a terminal inherits variables of the one it came from."""
    by_term = next((protocol for part, protocol in _BY_TERM.items() if part in term), None)
    program = environ.get("TERM_PROGRAM", "")
    if by_term is not None or program:
        return by_term or _BY_PROGRAM.get(program)
    return "kitty" if environ.get("KITTY_WINDOW_ID") else None


def _has_sixels(reply: str) -> bool:
    """Say whether attribute 4 is among those after the first number, which is the conformance level."""
    found = re.search(r"\x1b\[\?([\d;]*)c", reply)
    return found is not None and _SIXEL_ATTRIBUTE in found[1].split(";")[1:]


def has_truecolor(environ: Mapping[str, str]) -> bool:
    """Say whether half-blocks may use 24-bit colours, else they take the 256 of xterm.

    GNU screen hands COLORTERM on and does not understand the colours.
    """
    return environ.get("COLORTERM", "").strip().lower() in {"truecolor", "24bit"} and not environ.get("STY")


def ask_cell(ask: Ask) -> Cell | None:
    """Ask for the size of a cell; None where the terminal does not tell (DA1 after it ends the waiting)."""
    found = re.search(r"\x1b\[6;(\d{1,4});(\d{1,4})t", ask(_CELL_SIZE + _DEVICE_ATTRIBUTES))
    if found is None:
        return None
    height, width = int(found[1]), int(found[2])
    return Cell(width, height) if 0 < width <= _MAX_CELL_PX and 0 < height <= _MAX_CELL_PX else None
