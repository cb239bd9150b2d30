"""What /set knows: one table, from which setting, showing and completion come."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar, get_args

from qwen3vl_edge.chat import Policy
from qwen3vl_edge.cli.sampling_options import unescape
from qwen3vl_edge.cli.terminal.chat_state import Chat
from qwen3vl_edge.cli.terminal.screen import ReasoningView, View
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import Sampling

__all__ = ["SETTINGS", "Setting", "setting"]

_ON_OFF = ("on", "off")
_Values = TypeVar("_Values", Sampling, GenerateOptions, View, ClipOptions)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of /set.

    ``values`` are what Tab offers. ``write`` takes a value as typed, and raises `UsageError` before
    anything is changed.
    """

    name: str
    help: str
    values: tuple[str, ...]
    read: Callable[[Chat], str]
    write: Callable[[Chat, str], None]


def setting(name: str) -> Setting:
    """Give the setting called `name`.

    Raises:
        UsageError: There is none.
    """
    found = next((item for item in SETTINGS if item.name == name.lower().replace("_", "-")), None)
    if found is None:
        raise UsageError(f"no setting {name!r:.60}; there are {', '.join(item.name for item in SETTINGS)}")
    return found


def _sampling(name: str, help: str, *, whole: bool = False) -> Setting:
    field = name.replace("-", "_")

    def read(chat: Chat) -> str:
        value: object = getattr(chat.conversation.options.sampling, field)
        return "random" if value is None else f"{value}"

    def write(chat: Chat, text: str) -> None:
        options = chat.conversation.options
        if text == "default":
            value: float | None = getattr(chat.conversation.engine.info.sampling, field)
        else:
            value = _number(name, text, whole=whole)
        sampling = _with(options.sampling, field, value)
        chat.conversation.options = replace(options, sampling=sampling)

    return Setting(name, help, ("default",), read, write)


def _option(name: str, help: str, none: str | None = None) -> Setting:
    """Give a setting that is a whole number of the generating options; `none` is the word for no limit."""
    field = name.replace("-", "_")

    def read(chat: Chat) -> str:
        value: object = getattr(chat.conversation.options, field)
        return str(none) if value is None else f"{value}"

    def write(chat: Chat, text: str) -> None:
        value = None if none is not None and text == none else _number(name, text, whole=True)
        chat.conversation.options = _with(chat.conversation.options, field, value)

    return Setting(name, help, () if none is None else (none,), read, write)


def _clip(name: str, field: str, help: str, *, whole: bool = False, lifts: str | None = None) -> Setting:
    """Give a setting of the clips that are attached from now on; `lifts` is the field that it replaces."""

    def read(chat: Chat) -> str:
        value: object = getattr(chat.clip_options, field)
        return "default" if value is None else f"{value}"

    def write(chat: Chat, text: str) -> None:
        value = None if text == "default" else _number(name, text, whole=whole)
        options = chat.clip_options
        if lifts is not None and value is not None:
            options = _with(options, lifts, None)
        chat.clip_options = _with(options, field, value)

    return Setting(name, help, ("default",), read, write)


def _with(values: _Values, field: str, value: object) -> _Values:
    """Give frozen `values` with one field changed; they check themselves."""
    return replace(values, **{field: value})  # type: ignore[arg-type]  # a field of theirs, and its type


def _number(name: str, text: str, *, whole: bool) -> float | int:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{name} is {kind}, not {text!r:.60}") from None


def _one_of(name: str, text: str, values: tuple[str, ...]) -> str:
    if text not in values:
        raise UsageError(f"{name} is {', '.join(values[:-1])} or {values[-1]}, not {text!r:.60}")
    return text


def _view_switch(name: str, help: str) -> Setting:
    def read(chat: Chat) -> str:
        return _ON_OFF[not getattr(chat.view, name)]

    def write(chat: Chat, text: str) -> None:
        chat.view = _with(chat.view, name, _one_of(name, text, _ON_OFF) == "on")

    return Setting(name, help, _ON_OFF, read, write)


def _write_reasoning(chat: Chat, text: str) -> None:
    chosen = _one_of("reasoning", text, get_args(ReasoningView))
    chat.view = replace(chat.view, reasoning=chosen)  # type: ignore[arg-type]  # checked


def _write_policy(chat: Chat, text: str) -> None:
    chat.conversation.policy = _one_of("when-full", text, get_args(Policy))  # type: ignore[assignment]


def _write_loop_guard(chat: Chat, text: str) -> None:
    wanted = _one_of("loop-guard", text, _ON_OFF) == "on"
    chat.conversation.options = replace(chat.conversation.options, loop_guard=wanted)


def _write_stop(chat: Chat, text: str) -> None:
    try:
        words = [] if text == "off" else shlex.split(text.replace("\\", "\\\\"))
    except ValueError as error:
        raise UsageError(f"stop {text!r:.60}: {error}; quote each text, or write off") from None
    chat.conversation.options = replace(chat.conversation.options, stop=tuple(map(unescape, words)))


def _read_stop(chat: Chat) -> str:
    return " ".join(map(repr, chat.conversation.options.stop)) or "off"


SETTINGS = (
    _sampling("temperature", "Randomness; 0 is greedy."),
    _sampling("top-p", "Keep the likeliest tokens up to this sum."),
    _sampling("top-k", "Keep this many likeliest tokens.", whole=True),
    _sampling("min-p", "Keep tokens at least this likely, relative to the likeliest."),
    _sampling("presence-penalty", "Subtracted once from the logits of what the answer has said."),
    _sampling("frequency-penalty", "The same, each time that it was said."),
    _sampling("repetition-penalty", "Divides the logits of what question and answer have said."),
    _sampling("seed", "Makes sampling repeatable; `default` draws a new one each time.", whole=True),
    _option("max-tokens", "Longest answer, in tokens."),
    _option("think-budget", "Tokens of reasoning after which a Thinking model must answer.", none="off"),
    Setting(
        "loop-guard",
        "End an answer that repeats itself without end.",
        _ON_OFF,
        lambda chat: _ON_OFF[not chat.conversation.options.loop_guard],
        _write_loop_guard,
    ),
    Setting(
        "stop", r"End the answer before one of these texts ('\n\n' 'END').", ("off",), _read_stop, _write_stop
    ),
    Setting(
        "reasoning",
        "How a Thinking model's reasoning is shown.",
        get_args(ReasoningView),
        lambda chat: chat.view.reasoning,
        _write_reasoning,
    ),
    Setting(
        "when-full",
        "With a full context: stop, drop the oldest turns, or shrink pictures and clips.",
        get_args(Policy),
        lambda chat: chat.conversation.policy,
        _write_policy,
    ),
    _clip("fps", "fps", "Frames shown of each second of a clip, in place of frames.", lifts="n_frames"),
    _clip("frames", "n_frames", "Frames shown of a clip, in place of fps.", whole=True, lifts="fps"),
    _clip("start", "start_s", "Show clips from this second on."),
    _clip("end", "end_s", "Show clips up to this second."),
    _clip("video-max-tokens", "max_tokens", "Tokens that all frames of a clip may take.", whole=True),
    _clip("frame-max-tokens", "max_frame_tokens", "Tokens that a pair of frames may take.", whole=True),
    _view_switch("preview", "Draw attached pictures."),
    _view_switch("markdown", "Draw headings, lists, code and tables of answers."),
)
