"""`qwen3vl-edge caption`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import ConstraintOptions
from qwen3vl_edge.cli.caption_inputs import FileChoice
from qwen3vl_edge.cli.caption_outputs import Outputs
from qwen3vl_edge.cli.caption_questions import CaptionLength, Questions, WordingOptions
from qwen3vl_edge.cli.caption_running import RunningOptions
from qwen3vl_edge.cli.clip_options import ClipChoice
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.help_sections import Section
from qwen3vl_edge.cli.option_groups import grouped

__all__ = ["caption"]


@grouped
def caption(
    model: options.Model,
    path: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Pictures, clips, and folders of them.", show_default=False),
    ] = None,
    *,
    files: Annotated[FileChoice, Section("Which files")],
    questions: Annotated[Questions, Section("What is asked")],
    form: Annotated[ConstraintOptions, Section("What is asked")],
    wording: Annotated[WordingOptions, Section("How captions are worded")],
    outputs: Annotated[Outputs, Section("Where captions go")],
    running: Annotated[RunningOptions, Section("How the run goes")],
    clips: Annotated[ClipChoice, Section("Clips")],
    answer: Annotated[CaptionLength, Section("How answers are written")],
    engine: Annotated[EngineOptions, Section("How the model is run")],
) -> None:
    """Caption pictures, clips and whole folders of them; it can be left alone, and stopped at any time.

    Folders get a text file beside each picture; single files are printed. A file that cannot be read, or that
    crashes the model, is named and passed over. Stopped, killed or cut off from power, the same command goes
    on where it was. Exit code 0: every file has its caption; 1: some have none; 130: Ctrl-C.

    \b
    qwen3vl-edge caption demo samples/red_circle.png
    qwen3vl-edge caption demo holiday/ -r --preset detailed
    qwen3vl-edge caption demo holiday/ -r -o captions.jsonl -o captions.csv
    qwen3vl-edge caption demo lora/ --preset tags --trigger "sks cat" --temperature 0
    qwen3vl-edge caption demo site/ -r --preset alt-text --max-words 25 -o alt.csv
    qwen3vl-edge caption demo scans/ --preset ocr --sidecar .ocr.txt
    qwen3vl-edge caption demo shop/ --prompt "Name the product." --schema 'name, color' -o shop.jsonl
    qwen3vl-edge caption demo a.jpg b.jpg --prompt mood="How does it feel?" --prompt "What is it?" --json
    find . -name "*.png" -print0 | qwen3vl-edge caption demo --from-file - -0 -o found.jsonl
    qwen3vl-edge caption demo films/ --frames 16 --frame-max-tokens 64
    qwen3vl-edge caption demo holiday/ -r --dry-run
    """
    from qwen3vl_edge.captions.forecast import forecast
    from qwen3vl_edge.cli import caption_text, view
    from qwen3vl_edge.cli.caption_wishes import Wishes

    paths = path or []
    wishes = Wishes(model, files, questions, form, wording, outputs, running, clips, answer, engine)
    wishes.check(paths)
    places = outputs.places(paths, listed=files.from_file is not None)
    settings = wishes.settings(paths, view.progress())
    with ExitStack() as stack:
        watched = running.watched(wishes.printed(places), stack)
        journal, sinks = stack.enter_context(outputs.opened(places, paths, trial=running.dry_run))
        if running.dry_run:
            expected = forecast(files.items(paths, watched.unreadable), settings, journal, sinks)
            caption_text.print_forecast(expected, as_json=outputs.json)
            return
        code = wishes.caption(paths, settings, journal, sinks, watched)
    if code:
        raise typer.Exit(code)
