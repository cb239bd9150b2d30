"""`qwen3vl-edge compare`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.compare_options import MaterialOptions, run_comparison
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.errors import UsageError

__all__ = ["Cache", "MeasureSpeed", "compare"]

Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep measurements here: none is made twice, but speed.  [default: the user's cache folder]",
        show_default=False,
    ),
]
MeasureSpeed = Annotated[
    bool, typer.Option("--speed", help="Also measure tokens a second, and seconds a picture.")
]


@grouped
def compare(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE", help="What is held to be right: bundle, GGUF, or `demo`.", show_default=False
        ),
    ],
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help="Its quantized forms: bundles, or a language model or projector alone.",
            show_default=False,
        ),
    ],
    *,
    material: MaterialOptions,
    engine: EngineOptions,
    speed: MeasureSpeed = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw size against loss, as .png or .svg; what is there is replaced.",
            show_default=False,
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a model card in Markdown; what is there is replaced.",
            show_default=False,
        ),
    ] = None,
    cache: Cache = None,
    json: options.Json = False,
) -> None:
    """Measure what quantization costs: on text, and when the model looks at pictures and clips.

    The reference answers questions; every candidate reads those answers, and the KL divergence tells how
    far it would have gone astray at each token. Language model and projector are also measured apart.
    A run that was stopped goes on where it was.

    \b
    qwen3vl-edge compare Qwen3-VL-2B-BF16 Qwen3-VL-2B-Q4_K_M Qwen3-VL-2B-Q8_0
    qwen3vl-edge compare bf16/ q4/ q5/ --images ~/Pictures --max-images 50 --text wiki.test.raw --chunks 40
    qwen3vl-edge compare bf16/ q4/ iq4/ --plot loss.png --card CARD.md --speed
    qwen3vl-edge compare model-BF16.gguf mmproj-model-Q8_0.gguf --images scans/ --json > loss.json
    """
    from qwen3vl_edge.cli import compare_view, view
    from qwen3vl_edge.quant.comparison.store import check_target, write_whole

    if plot is not None:
        from qwen3vl_edge.quant.comparison.plot import check_plot

        check_plot(plot)
        if card is not None and plot.resolve() == card.resolve():
            raise UsageError(f"{card}: is both --plot and --card; give two names")
    if card is not None:
        check_target(card)
    found = run_comparison(
        reference, candidates, material, engine, speed=speed, cache=cache, progress=view.progress()
    )
    if plot is not None:
        from qwen3vl_edge.quant.comparison.plot import draw

        draw(found, plot)
    if card is not None:
        from qwen3vl_edge.quant.comparison.card import model_card

        command = shlex.join(["qwen3vl-edge", *sys.argv[1:]])
        write_whole(card, model_card(found, command).encode("utf-8", "replace"))
    if json:
        view.print_json(found.to_json())
    else:
        compare_view.show_comparison(found)
