"""What a typed line becomes: attachments that are listed, and a question that is asked."""

from qwen3vl_edge.chat import Prepared
from qwen3vl_edge.cli.clip_view import ShownClips
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.cli.terminal.asking import ask, cost_line
from qwen3vl_edge.cli.terminal.attachments import described, first_pixels, load, media_of
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.dropped import Link, Piece, split_line
from qwen3vl_edge.cli.terminal.safe_text import well_formed
from qwen3vl_edge.clips import Clip, is_clip
from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.messages import Content

__all__ = ["attach", "send"]


def attach(chat: Chat, pieces: list[Piece], *, clips: bool | None = None) -> list[Content]:
    """Load the files and addresses among `pieces`; texts stay as they are.

    Args:
        chat: Told of each, with its size in tokens.
        pieces: In the order of the line.
        clips: Whether the files are clips; None tells by their names.

    Raises:
        MediaError: One cannot be had; none is attached then.
        UsageError: What is to be shown of a clip is not there; the same.
    """
    content: list[Content] = []
    for piece in pieces:
        if isinstance(piece, str):
            content.append(piece)
            continue
        if isinstance(piece, Link):
            from qwen3vl_edge.cli.terminal.fetching import fetch_picture

            chat.screen.note(f"fetching {piece.url}")
            piece = fetch_picture(piece.url, chat.media_folder)  # noqa: PLW2901 -- from now on a file
        clip = is_clip(piece) if clips is None else clips
        content.append(load(chat.conversation.engine.info, piece, clip=clip, options=chat.clip_options))
    _list(chat, content)
    return content


def send(chat: Chat, line: str) -> None:
    """Ask what `line` says, with what is attached; a line of nothing but files attaches them.

    Raises:
        EdgeError: A file cannot be read, or there is no answer; attachments stay.
    """
    typed = attach(chat, split_line(line, links=chat.urls))
    if not any(isinstance(item, str) for item in typed):
        chat.attachments += media_of(typed)
        chat.screen.note("attached; now ask about it")
        return
    content = [*chat.attachments, *_at_the_end_first(_well_formed(typed))]
    if media_of(content):
        _show_cost(chat, content)
    told = _notes(content)
    if ask(chat, content):
        chat.attachments.clear()
    else:
        chat.draft = line
    for text in _notes(content):
        if text not in told:  # damage that showed when frames were decoded
            chat.screen.note(text)


def _list(chat: Chat, content: list[Content]) -> None:
    for number, media in enumerate(media_of(content), len(chat.attachments) + 1):
        chat.screen.note(f"[{number}] {described(media, chat.factor_px)}")
        if chat.view.preview:
            chat.screen.picture(first_pixels(media))
        for text in _notes([media]):
            chat.screen.note(text)


def _notes(content: list[Content]) -> list[str]:
    """Say what of the clips cannot be used, as far as is known by now."""
    return [escaped(note) for item in content if isinstance(item, Clip) for note in item.notes]


def _show_cost(chat: Chat, content: list[Content]) -> None:
    prepared = chat.conversation.prepare(*content)
    chat.screen.note(cost_line(prepared.cost))
    if prepared.cost.remaining < 1:
        raise ContextFullError(f"the question does not fit; {_remedy(chat, prepared)}")


def _remedy(chat: Chat, prepared: Prepared) -> str:
    conversation = chat.conversation
    limits, n_answer = conversation.engine.info.video_limits, conversation.options.max_tokens
    shown = ShownClips(prepared.question.content, limits, n_answer, chat.clip_options)
    shrunk = "" if conversation.policy == "shrink" else ", or have them shrunk: /set when-full shrink"
    if shown.clips:
        ways = shown.ways(prepared.cost, _as_setting)
        return f"/media drop all, and attach again: {ways}; or /undo or /clear{shrunk}"
    return f"/media drop N, /undo or /clear{shrunk}"


def _as_setting(option: str) -> str:
    """Write an option as what is typed in the chat, where one of fps and frames lifts the other."""
    return f"/set {option.removeprefix('--').removesuffix(' in place of --fps')}"


def _at_the_end_first(content: list[Content]) -> list[Content]:
    """Put what was dropped behind the question before it: the model was trained on pictures first."""
    n_last = next(n for n, item in enumerate(reversed(content)) if isinstance(item, str))
    end = len(content) - n_last
    return [*content[end:], *content[:end]]


def _well_formed(content: list[Content]) -> list[Content]:
    return [well_formed(item) if isinstance(item, str) else item for item in content]
