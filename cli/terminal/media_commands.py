"""Commands about pictures and clips: /image, /video, /paste, /media."""

from qwen3vl_edge.cli.terminal.attachments import described, media_of
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.dropped import Link, Piece, is_link, named_file, named_files
from qwen3vl_edge.cli.terminal.messages import attach
from qwen3vl_edge.errors import UsageError

__all__ = ["SAMPLE", "image", "media", "paste", "video"]

SAMPLE = "sample"
"""What /image takes in place of a file, for those who have none."""


def image(chat: Chat, argument: str) -> None:
    """Attach pictures to the next message."""
    chat.attachments += media_of(attach(chat, _named(chat, argument, "image"), clips=False))


def video(chat: Chat, argument: str) -> None:
    """Attach clips to the next message."""
    pieces = _named(chat, argument, "video")
    if any(isinstance(piece, Link) for piece in pieces):
        raise UsageError("clips are not fetched; save it and name the file")
    chat.attachments += media_of(attach(chat, pieces, clips=True))


def paste(chat: Chat, _argument: str) -> None:
    """Attach the picture, or the files, in the clipboard."""
    from qwen3vl_edge.cli.terminal.clipboard import from_clipboard

    pieces: list[Piece] = list(from_clipboard(chat.media_folder))
    chat.attachments += media_of(attach(chat, pieces))


def media(chat: Chat, argument: str) -> None:
    """List what is attached and what was sent, or drop attachments."""
    if argument:
        _drop(chat, argument)
    waiting = [
        f"[{n}] {described(item, chat.factor_px)}, to be sent" for n, item in enumerate(chat.attachments, 1)
    ]
    sent = [
        f"    {described(item, chat.factor_px)}, in question {n}"
        for n, turn in enumerate(chat.conversation.turns, 1)
        for item in media_of(turn.question.content)
    ]
    chat.screen.say("\n".join([*sent, *waiting]) or "no pictures and no clips; /image FILE attaches one")


def _named(chat: Chat, argument: str, command: str) -> list[Piece]:
    names = named_files(argument)
    if not names:
        raise UsageError(f"/{command} names no file; write e.g. /{command} FILE")
    return [_piece(chat, name) for name in names]


def _piece(chat: Chat, name: str) -> Piece:
    if is_link(name):
        if not chat.urls:
            raise UsageError(f"{name:.100}: addresses are not fetched (--no-urls); save it and name the file")
        return Link(name)
    path = named_file(name)
    if name == SAMPLE and not path.exists():
        from qwen3vl_edge.cli.terminal.sample_picture import draw_sample

        return draw_sample(chat.media_folder)
    return path


def _drop(chat: Chat, argument: str) -> None:
    verb, *numbers = argument.split()
    if verb != "drop" or not numbers:
        raise UsageError(f"/media {argument:.60}: write /media, /media drop N, or /media drop all")
    if numbers == ["all"]:
        chat.attachments.clear()
        return
    known = {str(n) for n in range(1, len(chat.attachments) + 1)}
    if unknown := [number for number in numbers if number not in known]:
        raise UsageError(f"no attachment {unknown[0]:.20}; /media lists those that can be dropped")
    chat.attachments = [item for n, item in enumerate(chat.attachments, 1) if str(n) not in numbers]
