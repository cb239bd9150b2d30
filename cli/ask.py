"""`qwen3vl-edge ask`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions, ConstraintOptions
from qwen3vl_edge.cli.clip_options import DrawnClipChoice
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.interrupt import Interrupted
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.cli.session_options import SessionOptions
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from collections.abc import Iterator

    from qwen3vl_edge.chat import ChatEvent, Conversation
    from qwen3vl_edge.constraints import Constraint
    from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["ask"]


@grouped
def ask(
    model: options.Model,
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT", help="The question; - reads it from standard input.", show_default=False
        ),
    ],
    image: options.Images = None,
    video: options.Clips = None,
    *,
    clips: DrawnClipChoice,
    sessions: SessionOptions,
    form: ConstraintOptions,
    answer: AnswerOptions,
    engine: EngineOptions,
    reasoning: options.ReasoningView = None,
    json: options.Json = False,
    logprobs: Annotated[
        int | None,
        typer.Option(min=0, help="With --json: each token's log-probability and the N likeliest."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what the question takes of the context, and stop; exit code 1: it does not fit.",
        ),
    ] = False,
) -> None:
    """Ask one question about any number of pictures and clips, or go on with a saved session.

    Pictures come first, then clips, then the question. The answer streams to standard output.

    \b
    qwen3vl-edge ask demo "What color is the circle?" -i circle.png
    qwen3vl-edge ask demo "Which image shows a red star?" -i one.png -i two.png
    qwen3vl-edge ask demo "Which direction does the circle move?" -v clip.mp4 --temperature 0
    qwen3vl-edge ask demo "When does it appear?" -v film.mkv --start 60 --end 90 --fps 4 --dry-run
    echo "Describe this image." | qwen3vl-edge ask demo - -i photo.jpg --json
    qwen3vl-edge ask demo "Describe this image." -i photo.jpg --session talk.q3vl
    qwen3vl-edge ask demo "And what is left of it?" --session talk.q3vl
    qwen3vl-edge ask demo "What is shown?" -i photo.jpg --schema 'shape, color red|green|blue'
    """
    from qwen3vl_edge.ask import load_media
    from qwen3vl_edge.cli import clip_view, view
    from qwen3vl_edge.sampling import Sampling

    if logprobs is not None and not json:
        raise UsageError("--logprobs needs --json: plain answers have no place for them")
    if reasoning is not None and json:
        raise UsageError("--reasoning is for plain answers; with --json the reasoning is a field of its own")
    if sessions.session is None and not sessions.session_state:
        raise UsageError("--no-session-state needs --session: without it nothing is kept")
    question = options.question(sys.stdin.read() if prompt == "-" else prompt)
    media = [*(image or ()), *(video or ())]
    options.require_files(media)
    clips.check(media)
    if not dry_run:
        sessions.check()
    clip_options = clips.options_for(video or ())
    constraint = form.constraint()
    answer.options(Sampling(), constraint, logprobs)  # what is wrong is told before the work
    with engine.open(model, view.progress()) as opened:
        if answer.think_budget is not None and not _thinks(opened.info):
            view.note("--think-budget changes nothing: this model does not think before it answers")
        kept = sessions.open(opened, lambda before: answer.over(before, constraint, logprobs))
        conversation = kept.conversation
        content = [*load_media(opened.info, image or (), video or (), clip_options), question]
        prepared = conversation.prepare(*content)
        shown = clip_view.ShownClips(
            prepared.question.content, opened.info.video_limits, conversation.options.max_tokens, clip_options
        )
        shown.say_notes()
        if dry_run:
            view.plan(prepared, as_json=json, clips=shown)
            clips.draw(shown.clips, opened.info.video_limits.factor)
            shown.say_notes()
            if prepared.cost.remaining < 1:
                raise typer.Exit(1)
            return
        shown.check_room(prepared.cost)
        clips.draw(shown.clips, opened.info.video_limits.factor)
        events = _not_cancelled(conversation.ask(*content))
        if json:
            view.answer_json(events, constraint)
        else:
            view.answer_text(events, reasoning=reasoning)
        shown.say_notes()
        kept.save()
        _check(conversation, constraint)


def _not_cancelled(events: "Iterator[ChatEvent]") -> "Iterator[ChatEvent]":
    """Give `events` up to the end of an answer that Ctrl-C has cut off: it is no answer to print or keep.

    Raises:
        Interrupted: In place of that end.
    """
    from qwen3vl_edge.runtime.engine import Finished

    for event in events:
        if isinstance(event, Finished) and event.stop_reason == "cancelled":
            raise Interrupted
        yield event


def _thinks(info: "EngineInfo") -> bool:
    """Tell whether the model's prompts end in an open reasoning."""
    from qwen3vl_edge.messages import Message
    from qwen3vl_edge.prompt import opens_reasoning

    return opens_reasoning(info.template.parts([Message("user", ("?",))]))


def _check(conversation: "Conversation", constraint: "Constraint | None") -> None:
    """Make sure that the answer has the form that was wanted; one that was cut off may not have it.

    Raises:
        AnswerError: It has not.
    """
    if constraint is not None:
        constraint.check(conversation.turns[-1].answer)
