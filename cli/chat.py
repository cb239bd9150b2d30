"""`qwen3vl-edge chat`."""

from dataclasses import dataclass
from typing import Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions, ConstraintOptions
from qwen3vl_edge.cli.clip_options import ClipChoice
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.cli.session_options import SessionOptions

__all__ = ["ViewOptions", "chat"]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How the chat is shown."""

    reasoning: options.ReasoningView = None
    markdown: Annotated[
        bool,
        typer.Option("--markdown/--no-markdown", help="Draw headings, lists, code and tables of answers."),
    ] = True
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Draw attached pictures where the terminal can.")
    ] = True
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Nothing but lines of text, and one of status: for screen readers and logs."
        ),
    ] = False


@grouped
def chat(
    model: options.Model,
    image: options.Images = None,
    video: options.Clips = None,
    *,
    clips: ClipChoice,
    look: ViewOptions,
    urls: Annotated[
        bool, typer.Option("--urls/--no-urls", help="Fetch pictures whose address is in a message.")
    ] = True,
    sessions: SessionOptions,
    form: ConstraintOptions,
    answer: AnswerOptions,
    engine: EngineOptions,
) -> None:
    """Talk about pictures and clips in the terminal, for hours if you like.

    Every finished turn is kept: in --session, else among your own data, where `/load last` finds it.
    Drop pictures and clips into the line, or name them. `/help` explains the rest.

    \b
    qwen3vl-edge chat demo
    qwen3vl-edge chat demo -i circle.png
    qwen3vl-edge chat MODEL -v film.mp4 --fps 1 --end 60
    qwen3vl-edge chat MODEL --session kitchen.q3vl --when-full drop
    qwen3vl-edge chat MODEL --system "Answer in one sentence." --temperature 0
    printf '%s\\n' '/image circle.png' 'What color is it?' | qwen3vl-edge chat demo
    """
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.cli.terminal import talk
    from qwen3vl_edge.cli.terminal.screen import View
    from qwen3vl_edge.sampling import Sampling

    options.require_files([*(image or ()), *(video or ())])
    sessions.check()
    clip_options = clips.options()
    constraint = form.constraint()
    answer.options(Sampling(), constraint)  # what is wrong is told before the work
    shown = talk.screen(plain=look.plain)
    loading = view.Redirected(view.progress())
    with engine.open(model, loading) as opened:
        loading.target = talk.progress_on(shown)  # bars would be drawn over the chat
        conversation = sessions.open(opened, lambda before: answer.over(before, constraint)).conversation
        opening = talk.open_chat(conversation, shown, sessions.session, with_state=sessions.session_state)
        opening.urls = urls
        opening.clip_options = clip_options
        reasoning = look.reasoning or ("dim" if talk.is_typed() else "hidden")
        opening.view = View(reasoning, look.markdown, look.preview)
        talk.greet(opening, model, image or [], video or [])
        talk.talk(opening, plain=look.plain)
    if opening.n_faults and not talk.is_typed():  # a script should know
        raise typer.Exit(1)
