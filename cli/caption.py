"""`qwen3vl-edge caption`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.interrupt import Interrupted
from qwen3vl_edge.cli.option_groups import grouped

__all__ = ["CaptionOptions", "caption"]


@dataclass(frozen=True, slots=True)
class CaptionOptions(AnswerOptions):
    """How to sample, and when to stop: captions are short."""

    max_tokens: options.MaxTokens = 256


@grouped
def caption(
    model: options.Model,
    path: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Pictures, and folders of pictures.", show_default=False),
    ],
    prompt: Annotated[str, typer.Option(help="What to ask of each picture.")] = "Describe this image.",
    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into sub-folders too.")] = False,
    *,
    answer: CaptionOptions,
    engine: EngineOptions,
    json: options.Json = False,
) -> None:
    """Caption pictures, one line each; a picture that cannot be read is reported and passed over.

    Exit code 1 says that some picture has no caption. With --json each line is an object with
    `path`, `caption` and `stop_reason`, or `path` and `error`.

    \b
    qwen3vl-edge caption demo samples/
    qwen3vl-edge caption demo holiday/ -r --json > captions.jsonl
    qwen3vl-edge caption demo *.jpg --prompt "How many shapes are there?" --temperature 0
    """
    from qwen3vl_edge.caption import Caption, Failure, find_pictures
    from qwen3vl_edge.caption import caption as caption_pictures
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.sampling import Sampling

    pictures = find_pictures(path, recursive=recursive)
    question = options.question(prompt)
    answer.options(Sampling())  # what is wrong is told before the work
    n_failed = 0
    with (
        engine.open(model, view.progress()) as opened,
        view.progress(beside_output=True).task("captioning", len(pictures), "images") as task,
    ):
        settings = answer.options(opened.info.sampling)
        for result in caption_pictures(opened, pictures, settings, prompt=question, system=system):
            if isinstance(result, Caption) and result.stop_reason == "cancelled":
                raise Interrupted  # by Ctrl-C: what there is, is no caption
            view.caption_line(result, as_json=json)
            n_failed += isinstance(result, Failure)
            task.advance()
    if n_failed:
        view.note(f"{n_failed} of {len(pictures)} pictures have no caption")
        raise typer.Exit(1)
