"""What a verification has found, as lines of text."""

from rich.console import Console
from rich.text import Text

from qwen3vl_edge.cli.plain_text import escaped, plain
from qwen3vl_edge.verification import Check, CheckName, Verification

__all__ = ["show_checks", "show_outcome"]

_STATES = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("not done", "yellow")}


def show_checks(done: Verification) -> None:
    """Print a line for each check."""
    _print(done.checks)


def show_outcome(done: Verification) -> None:
    """Print one line if all went well, and with it what was not done; every check if one failed."""
    if not done.ok:
        _print(done.checks)
        return
    Console().print(plain(_summary(done)))
    _print(tuple(check for check in done.checks if check.ok is None))


def _summary(done: Verification) -> str:
    n_files = len({check.subject for check in done.checks if check.name == "hash"})
    n_hashes, n_forwards = _n_ok(done, "hash"), _n_ok(done, "forward")
    looks = [f"{n_files} files"]
    looks += ["hashes"] if n_hashes else []
    looks += [f"{n_forwards} forward{'s' if n_forwards > 1 else ''} with a picture"] if n_forwards else []
    return f"verified: {', '.join(looks)}"


def _n_ok(done: Verification, name: CheckName) -> int:
    return sum(check.ok is True for check in done.checks if check.name == name)


def _print(checks: tuple[Check, ...]) -> None:
    console = Console()
    for check in checks:
        state, style = _STATES[check.ok]
        what = escaped(f"{check.name:<10}{check.subject}: {check.detail}")
        line = Text.assemble((f"{state:<9}", style), what)
        console.print(line, soft_wrap=True)
