"""`qwen3vl-edge recommend`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.compare import Cache
from qwen3vl_edge.cli.compare_options import MaterialOptions, run_comparison
from qwen3vl_edge.cli.engine_options import EngineOptions, parse_size
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:
    from qwen3vl_edge.quant.comparison.report import Comparison

__all__ = ["parse_share", "recommend"]


@grouped
def recommend(
    source: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE|FILE.json",
            help="The reference, or what `compare --json` has printed.",
            show_default=False,
        ),
    ],
    candidates: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CANDIDATE...]", help="As for `compare`.", show_default=False),
    ] = None,
    *,
    max_kl: Annotated[
        float | None,
        typer.Option(
            min=0, help="Most KL divergence, on each of text, pictures and clips.", show_default=False
        ),
    ] = None,
    max_flips: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Most short answers that flip, such as 2%.", show_default=False),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most bytes of both files together, such as 3.5G.", show_default=False
        ),
    ] = None,
    sure: Annotated[
        bool, typer.Option("--sure", help="The upper ends of the 95 % intervals have to stay within.")
    ] = False,
    material: MaterialOptions,
    engine: EngineOptions,
    cache: Cache = None,
    json: options.Json = False,
) -> None:
    """Name the smallest candidate whose loss stays within bounds, and why it is none of the others.

    With --max-size alone, it is the one that loses least. Exit code 1 if there is none.

    \b
    qwen3vl-edge compare bf16/ q2/ q4/ q5/ q8/ --json > loss.json
    qwen3vl-edge recommend loss.json --max-kl 0.05 --max-flips 2%
    qwen3vl-edge recommend bf16/ q2/ q4/ q5/ q8/ --max-kl 0.05 --max-size 3G --images ~/Pictures
    """
    from dataclasses import asdict

    from qwen3vl_edge.cli import compare_view, view
    from qwen3vl_edge.quant.comparison.advice import Bounds, advise

    bounds = Bounds(
        max_kl,
        None if max_flips is None else parse_share(max_flips),
        None if max_size is None else parse_size(max_size),
        sure,
    )
    advice = advise(_comparison(source, candidates or [], material, engine, cache), bounds)
    if json:
        view.print_json(asdict(advice))
    else:
        compare_view.show_advice(advice)
    if advice.chosen is None:
        view.note("no candidate stays within the bounds; allow more, or quantize to another type")
        raise typer.Exit(1)


def parse_share(text: str) -> float:
    """Read a share such as ``2%`` or ``0.02``.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%?)", text.strip())
    if found is None:
        raise UsageError(f"{text!r:.40} is no share; write e.g. 2% or 0.02")
    return float(found[1]) / (100 if found[2] else 1)


def _comparison(
    source: str,
    candidates: list[str],
    material: MaterialOptions,
    engine: EngineOptions,
    cache: Path | None,
) -> "Comparison":
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.quant.comparison.saved import read_comparison

    if source.lower().endswith(".json"):
        if candidates or material != MaterialOptions() or engine != EngineOptions() or cache is not None:
            raise UsageError(
                f"{source} has been measured already; give only bounds beside it, or a reference in its place"
            )
        return read_comparison(Path(source))
    if not candidates:
        raise UsageError("there is nothing to choose from; give candidates, or what `compare --json` printed")
    progress = view.progress()
    return run_comparison(source, candidates, material, engine, speed=False, cache=cache, progress=progress)
