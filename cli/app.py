"""The command `qwen3vl-edge` and its sub-commands."""

import logging
import sys
from typing import Annotated

import typer

from qwen3vl_edge.cli.ask import ask
from qwen3vl_edge.cli.caption import caption
from qwen3vl_edge.cli.chat import chat
from qwen3vl_edge.cli.compare import compare
from qwen3vl_edge.cli.convert import convert
from qwen3vl_edge.cli.devices import devices
from qwen3vl_edge.cli.help_sections import SectionedCommand
from qwen3vl_edge.cli.imatrix import imatrix
from qwen3vl_edge.cli.inspect import inspect
from qwen3vl_edge.cli.quantize import quantize
from qwen3vl_edge.cli.recommend import recommend

__all__ = ["app"]

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


for _command in (ask, caption, chat, compare, convert, devices, imatrix, inspect, quantize, recommend):
    app.command(cls=SectionedCommand)(_command)
