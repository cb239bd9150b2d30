"""`qwen3vl-edge caption`."""

from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options

__all__ = ["caption"]


def caption(
    model: options.Model,
    path: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Pictures, and folders of pictures.", show_default=False),
    ],
    prompt: Annotated[str, typer.Option(help="What to ask of each picture.")] = "Describe this image.",
    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into sub-folders too.")] = False,
    max_tokens: options.MaxTokens = 256,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = None,
    json: options.Json = False,
    mmproj: options.Mmproj = None,
    ctx: options.Context = None,
    threads: options.Threads = None,
) -> None:
    """Caption pictures, one line each; a picture that cannot be read is reported and passed over.

    Exit code 1 says that some picture has no caption. With --json each line is an object with
    `path`, `caption` and `stop_reason`, or `path` and `error`.

    \b
    qwen3vl-edge caption demo samples/
    qwen3vl-edge caption demo holiday/ -r --json > captions.jsonl
    qwen3vl-edge caption demo *.jpg --prompt "How many shapes are there?" --temperature 0
    """
    from qwen3vl_edge.caption import Failure, find_pictures
    from qwen3vl_edge.caption import caption as caption_pictures
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.runtime.engine import GenerateOptions
    from qwen3vl_edge.sampling import Sampling

    pictures = find_pictures(path, recursive=recursive)
    question = options.question(prompt)
    options.sampling(Sampling(), temperature, top_p, top_k, seed)  # a wrong one is told before the work
    n_failed = 0
    with (
        options.open_engine(model, mmproj, ctx, threads, view.progress()) as engine,
        view.progress(beside_output=True).task("captioning", len(pictures), "images") as task,
    ):
        chosen = options.sampling(engine.info.sampling, temperature, top_p, top_k, seed)
        settings = GenerateOptions(chosen, max_tokens)
        for result in caption_pictures(engine, pictures, settings, prompt=question, system=system):
            view.caption_line(result, as_json=json)
            n_failed += isinstance(result, Failure)
            task.advance()
    if n_failed:
        view.note(f"{n_failed} of {len(pictures)} pictures have no caption")
        raise typer.Exit(1)
