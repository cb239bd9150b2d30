"""A question on its way to its answer."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import cast

from qwen3vl_edge.chat import ChatEvent, Notice
from qwen3vl_edge.cli.interrupt import answering
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.constraints import AnswerError
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import Cost, Finished, Generated, Reasoned

__all__ = ["ask", "cost_line", "show_answer"]


def ask(chat: Chat, content: list[Content]) -> bool:
    """Ask `content` and show the answer; returns whether a turn has come of it.

    Raises:
        EdgeError: As `Conversation.ask`; the chat is as it was.
    """
    return show_answer(chat, chat.conversation.ask(*content))


def show_answer(chat: Chat, events: Iterator[ChatEvent]) -> bool:
    """Show an answer as it comes, and keep its turn; returns whether there is one.

    One that was stopped before it began leaves everything as it was.

    Raises:
        EdgeError: As the events do.
    """
    before = chat.conversation.history
    try:
        chat.last = _run(chat, events) or chat.last
    finally:
        chat.screen.finish()
    turn = chat.conversation.turns[-1] if chat.conversation.turns else None
    if turn is not None and turn.stop_reason == "cancelled" and not turn.answer + turn.reasoning:
        chat.conversation.history = before
        chat.screen.note("stopped before the answer began; nothing was asked")
        return False
    with chat.changed():
        _say_end(chat)
    return True


def cost_line(cost: Cost) -> str:
    """Say in one line what a message will take."""
    return (
        f"{cost.prompt} tokens in all ({cost.text} of text, {cost.vision} of pictures and clips), "
        f"{cost.prompt - cost.reused} to be read, {cost.encode} to be encoded; "
        f"{max(cost.remaining, 0)} of {cost.context} remain"
    )


def _run(chat: Chat, events: Iterator[ChatEvent]) -> Finished | None:
    """Show the events; Ctrl-C ends the answer meanwhile, not the program."""
    screen, end = chat.screen, None
    generator = cast("Generator[ChatEvent]", events)
    with closing(generator), answering(chat.conversation.engine):
        screen.begin(chat.view, "reading …")
        for event in generator:
            match event:
                case Reasoned(text=text):
                    screen.reason(text)
                case Generated(text=text):
                    screen.answer(text)
                case Notice(text=text):
                    screen.note(text)
                case Finished():
                    end = event
    return end


def _say_end(chat: Chat) -> None:
    """Say why an answer ended where the model would have gone on, and what is wrong with it."""
    turn = chat.conversation.turns[-1]
    match turn.stop_reason:
        case "length":
            chat.screen.note("(cut off; /set max-tokens allows more)")
        case "context":
            chat.screen.note("(cut off: the context is full; /undo, /clear, or /set when-full drop)")
        case "loop":
            chat.screen.note("(stopped: it repeated itself without end; try /set presence-penalty 1.5)")
        case "cancelled":
            chat.screen.note("(stopped)")
    if chat.constraint is not None and turn.stop_reason != "cancelled":
        try:
            chat.constraint.check(turn.answer)
        except AnswerError as error:
            chat.screen.note(str(error))
