"""One question about any number of pictures and clips."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from qwen3vl_edge.clips import DEFAULT_OPTIONS, ClipOptions
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import load_picture
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.runtime.engine import Engine, EngineInfo, Event, GenerateOptions

__all__ = ["ask", "load_media", "one_question"]


def ask(  # noqa: PLR0913 -- the parts of one message
    engine: Engine,
    question: str,
    options: GenerateOptions,
    *,
    pictures: Sequence[Path] = (),
    clips: Sequence[Path] = (),
    clip_options: ClipOptions = DEFAULT_OPTIONS,
    system: str | None = None,
    vision_ids: bool = False,
) -> Iterator[Event]:
    """Ask `question` about `pictures` and `clips`, shown in this order and before the question.

    With `vision_ids` they are numbered in the prompt ("Picture 1: ", "Video 1: ").

    Raises:
        MediaError: A picture or clip cannot be read.
        PromptError: The model's chat template refuses the messages.
        ContextFullError: The prompt does not fit.
        EngineError: The native library failed.
    """
    content = load_media(engine.info, pictures, clips, clip_options)
    messages = one_question(content, question, system)
    return engine.generate(engine.info.template.parts(messages, add_vision_id=vision_ids), options)


def one_question(content: Sequence[Content], question: str, system: str | None = None) -> list[Message]:
    """Give the messages that ask `question` about `content`."""
    messages = [] if system is None else [Message("system", (system,))]
    return [*messages, Message("user", (*content, question))]


def load_media(
    info: EngineInfo,
    pictures: Sequence[Path],
    clips: Sequence[Path] = (),
    clip_options: ClipOptions = DEFAULT_OPTIONS,
) -> list[Content]:
    """Load `pictures` and `clips` as the model of `info` is to see them; clips are decoded later.

    Raises:
        MediaError: One cannot be read.
        UsageError: The options leave nothing to show of a clip.
    """
    content: list[Content] = [load_picture(path, info.image_limits) for path in pictures]
    if clips:
        try:
            from qwen3vl_edge.video import load_clip  # noqa: PLC0415 -- loads slowly; only clips need it
        except ImportError as error:
            raise MediaError(f"OpenCV does not load ({error}); pip install opencv-python-headless") from error
        content += [load_clip(path, info.video_limits, clip_options) for path in clips]
    return content
