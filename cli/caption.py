"""`qwen3vl-edge caption`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions
from qwen3vl_edge.cli.clip_options import ClipChoice
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
        typer.Argument(metavar="PATH", help="Pictures, clips, and folders of them.", show_default=False),
    ],
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What to ask of each.  [default: Describe this image., of a clip Describe this video.]",
            show_default=False,
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into sub-folders too.")] = False,
    *,
    clips: ClipChoice,
    answer: CaptionOptions,
    engine: EngineOptions,
    json: options.Json = False,
) -> None:
    """Caption pictures and clips, one line each; one that cannot be read is reported and passed over.

    Exit code 1 says that some have no caption. With --json each line is an object with `path`,
    `caption`, `stop_reason` and `notes` on what of a clip could not be used, or `path` and `error`.

    \b
    qwen3vl-edge caption demo samples/
    qwen3vl-edge caption demo holiday/ -r --json > captions.jsonl
    qwen3vl-edge caption demo *.jpg --prompt "How many shapes are there?" --temperature 0
    qwen3vl-edge caption demo films/ --frames 16 --frame-max-tokens 64
    """
    from qwen3vl_edge.caption import Caption, Failure, find_media
    from qwen3vl_edge.caption import caption as caption_media
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.cli.plain_text import escaped
    from qwen3vl_edge.clips import is_clip
    from qwen3vl_edge.sampling import Sampling

    media = find_media(path, recursive=recursive)
    films = [path for path in media if is_clip(path)]
    clip_options = clips.options_for(films)
    question = None if prompt is None else options.question(prompt)
    answer.options(Sampling())  # what is wrong is told before the work
    n_failed = 0
    with (
        engine.open(model, view.progress()) as opened,
        view.progress(beside_output=True).task(
            "captioning", len(media), "files" if films else "images"
        ) as task,
    ):
        settings = answer.options(opened.info.sampling)
        captions = caption_media(
            opened, media, settings, prompt=question, system=system, clip_options=clip_options
        )
        for result in captions:
            if isinstance(result, Caption) and result.stop_reason == "cancelled":
                raise Interrupted  # by Ctrl-C: what there is, is no caption
            view.caption_line(result, as_json=json)
            for note in result.notes if isinstance(result, Caption) else ():
                view.note(escaped(note))
            n_failed += isinstance(result, Failure)
            task.advance()
    if n_failed:
        what = "pictures and clips" if films else "pictures"
        view.note(f"{n_failed} of {len(media)} {what} have no caption")
        raise typer.Exit(1)
