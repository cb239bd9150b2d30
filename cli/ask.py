"""`qwen3vl-edge ask`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.errors import UsageError

__all__ = ["ask"]


def ask(
    model: options.Model,
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT", help="The question; - reads it from standard input.", show_default=False
        ),
    ],
    image: Annotated[
        list[Path] | None, typer.Option("-i", "--image", help="A picture; repeatable.", show_default=False)
    ] = None,
    video: Annotated[
        list[Path] | None, typer.Option("-v", "--video", help="A clip; repeatable.", show_default=False)
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None,
    max_tokens: options.MaxTokens = 1024,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = None,
    logprobs: Annotated[
        int | None,
        typer.Option(min=0, help="With --json: each token's log-probability and the N likeliest."),
    ] = None,
    json: options.Json = False,
    mmproj: options.Mmproj = None,
    ctx: options.Context = None,
    threads: options.Threads = None,
) -> None:
    """Ask one question about any number of pictures and clips.

    Pictures come first, then clips, then the question. The answer streams to standard output.

    \b
    qwen3vl-edge ask demo "What color is the circle?" -i circle.png
    qwen3vl-edge ask demo "Which image shows a red star?" -i one.png -i two.png
    qwen3vl-edge ask demo "Which direction does the circle move?" -v clip.mp4 --temperature 0
    echo "Describe this image." | qwen3vl-edge ask demo - -i photo.jpg --json
    """
    from qwen3vl_edge.ask import ask as ask_engine
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.runtime.engine import GenerateOptions
    from qwen3vl_edge.sampling import Sampling

    if logprobs is not None and not json:
        raise UsageError("--logprobs needs --json: plain answers have no place for them")
    question = options.question(sys.stdin.read() if prompt == "-" else prompt)
    options.require_files([*(image or ()), *(video or ())])
    options.sampling(Sampling(), temperature, top_p, top_k, seed)  # a wrong one is told before the work
    with options.open_engine(model, mmproj, ctx, threads, view.progress()) as engine:
        chosen = options.sampling(engine.info.sampling, temperature, top_p, top_k, seed)
        events = ask_engine(
            engine,
            question,
            GenerateOptions(chosen, max_tokens, logprobs),
            pictures=image or (),
            clips=video or (),
            system=system,
        )
        if json:
            view.answer_json(events)
        else:
            view.answer_text(events)
