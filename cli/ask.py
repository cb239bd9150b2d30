"""`qwen3vl-edge ask`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions, ConstraintOptions
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.cli.option_groups import grouped
from qwen3vl_edge.cli.session_options import SessionOptions
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.chat import Conversation
    from qwen3vl_edge.constraints import Constraint

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
    image: Annotated[
        list[Path] | None, typer.Option("-i", "--image", help="A picture; repeatable.", show_default=False)
    ] = None,
    video: Annotated[
        list[Path] | None, typer.Option("-v", "--video", help="A clip; repeatable.", show_default=False)
    ] = None,
    *,
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
        bool, typer.Option("--dry-run", help="Say what the question takes of the context, and stop.")
    ] = False,
) -> None:
    """Ask one question about any number of pictures and clips, or go on with a saved session.

    Pictures come first, then clips, then the question. The answer streams to standard output.

    \b
    qwen3vl-edge ask demo "What color is the circle?" -i circle.png
    qwen3vl-edge ask demo "Which image shows a red star?" -i one.png -i two.png
    qwen3vl-edge ask demo "Which direction does the circle move?" -v clip.mp4 --temperature 0
    echo "Describe this image." | qwen3vl-edge ask demo - -i photo.jpg --json
    qwen3vl-edge ask demo "Describe this image." -i photo.jpg --session talk.q3vl
    qwen3vl-edge ask demo "And what is left of it?" --session talk.q3vl
    qwen3vl-edge ask demo "What is shown?" -i photo.jpg --schema 'shape, color red|green|blue'
    """
    from qwen3vl_edge.ask import load_media
    from qwen3vl_edge.cli import view
    from qwen3vl_edge.sampling import Sampling

    if logprobs is not None and not json:
        raise UsageError("--logprobs needs --json: plain answers have no place for them")
    question = options.question(sys.stdin.read() if prompt == "-" else prompt)
    options.require_files([*(image or ()), *(video or ())])
    constraint = form.constraint()
    answer.options(Sampling(), constraint, logprobs)  # what is wrong is told before the work
    with engine.open(model, view.progress()) as opened:
        wanted = answer.options(opened.info.sampling, constraint, logprobs)
        conversation = sessions.conversation(opened, wanted)
        content = [*load_media(opened.info, image or (), video or ()), question]
        if dry_run:
            view.cost(conversation.cost(*content), as_json=json)
            return
        events = conversation.ask(*content)
        if json:
            view.answer_json(events, constraint)
        else:
            view.answer_text(events, reasoning=reasoning)
        sessions.save(conversation)
        _check(conversation, constraint)


def _check(conversation: "Conversation", constraint: "Constraint | None") -> None:
    """Make sure that the answer has the form that was wanted; one that was cut off may not have it.

    Raises:
        AnswerError: It has not.
    """
    if constraint is not None:
        constraint.check(conversation.turns[-1].answer)
