"""Commands about what was said: /clear, /undo, /regen, /edit, /system."""

from qwen3vl_edge.chat import Turn
from qwen3vl_edge.cli.terminal.asking import show_answer
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.safe_text import well_formed
from qwen3vl_edge.errors import UsageError

__all__ = ["clear", "edit", "edited", "question_text", "regenerate", "system", "undo"]


def clear(chat: Chat, _argument: str) -> None:
    """Forget every turn; what was said stays on the disk."""
    left = chat.keeper.part(chat.conversation)
    with chat.changed():
        chat.conversation.clear()
        chat.attachments.clear()
        chat.last = None
    kept = "" if left is None else f"; what was said stays in {left}, and /load brings it back"
    chat.screen.note(f"a new conversation begins{kept}")


def undo(chat: Chat, _argument: str) -> None:
    """Take back the last question and its answer."""
    with chat.changed():
        turn = chat.conversation.undo()
    chat.screen.note(f"taken back: {_short(turn)}")


def regenerate(chat: Chat, _argument: str) -> None:
    """Ask the last question again."""
    show_answer(chat, chat.conversation.regenerate())


def edit(chat: Chat, argument: str) -> None:
    """Ask the last question with another text, or let it be edited in the next line."""
    if not chat.conversation.turns:
        raise UsageError("there is nothing to edit: nothing was asked yet")
    if argument:
        edited(chat, argument)
        return
    chat.editing = True
    chat.draft = question_text(chat.conversation.turns[-1])
    chat.screen.note("change the question; its pictures and clips stay; an empty line leaves it as it was")


def edited(chat: Chat, text: str) -> None:
    """Ask the last question with `text` in place of its own, which comes back if there is no answer."""
    chat.draft = f"/edit {text}"
    if show_answer(chat, chat.conversation.edit(well_formed(text))):
        chat.draft = ""


def system(chat: Chat, argument: str) -> None:
    """Show or set the system prompt."""
    conversation = chat.conversation
    if argument:
        with chat.changed():
            conversation.system = None if argument == "off" else well_formed(argument)
        if conversation.turns:
            chat.screen.note("the next question reads the whole conversation anew")
    else:
        chat.screen.say(conversation.system or "no system prompt; /system TEXT sets one")


def question_text(turn: Turn) -> str:
    """Give the text of a question, without its pictures and clips."""
    return "\n".join(item for item in turn.question.content if isinstance(item, str))


def _short(turn: Turn) -> str:
    text = " ".join(question_text(turn).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
