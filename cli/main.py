"""The command `qwen3vl-edge`: its sub-commands, and the one place where errors become exit codes."""

import io
import logging
import sys
import warnings
from typing import Annotated

import typer

from qwen3vl_edge.cli.ask import ask
from qwen3vl_edge.cli.caption import caption
from qwen3vl_edge.cli.chat import chat
from qwen3vl_edge.cli.convert import convert
from qwen3vl_edge.cli.devices import devices
from qwen3vl_edge.cli.inspect import inspect
from qwen3vl_edge.cli.interrupt import INTERRUPTED, Interrupted, raise_on_interrupt
from qwen3vl_edge.cli.quantize import quantize
from qwen3vl_edge.errors import EdgeError, UsageError

__all__ = ["app", "run"]

_USAGE = 2
_FAILURE = 1

app = typer.Typer(
    name="qwen3vl-edge",
    help="Convert, quantize and run Qwen3-VL on your own machine, through llama.cpp.",
    epilog="MODEL is a folder that `convert` wrote, a GGUF file with its projector beside it, or `demo`, "
    "the small model that comes along.  Try: qwen3vl-edge ask demo 'What color is the circle?' -i PICTURE",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"qwen3vl-edge {version('qwen3vl-edge')}\n")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show llama.cpp's own log.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    logging.basicConfig(format="qwen3vl-edge: %(levelname)s: %(message)s", level=logging.WARNING)
    native = logging.getLogger("qwen3vl_edge.native")
    native.setLevel(logging.DEBUG if verbose else logging.CRITICAL)


for _command in (ask, caption, chat, convert, devices, inspect, quantize):
    app.command()(_command)


def run() -> None:
    """Run the command; errors become one line on stderr and exit code 1, or 2 for a wrong call."""
    raise_on_interrupt()
    _allow_any_text()
    if not sys.warnoptions:  # Python's warnings are for developers: Pillow has one for every large picture
        warnings.simplefilter("ignore")
    try:
        app()
    except Interrupted:
        _exit("interrupted", INTERRUPTED)
    except EdgeError as error:
        _exit(str(error), _USAGE if isinstance(error, UsageError) else _FAILURE)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _exit(f"{error.strerror or error}{where}", _FAILURE)
    except MemoryError:
        _exit("out of memory; close other programs, or use a smaller model or type", _FAILURE)


def _allow_any_text() -> None:
    """Let file names that are no valid text through as the bytes that they are."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _exit(message: str, code: int) -> None:
    from qwen3vl_edge.cli.plain_text import escaped

    sys.stderr.write(f"qwen3vl-edge: {'' if code == INTERRUPTED else 'error: '}{escaped(message)}\n")
    sys.exit(code)
