"""Options of sampling and stopping beyond those in `options`, and what they turn into."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.sampling import Sampling

__all__ = [
    "FrequencyPenalty",
    "LogitBias",
    "LoopGuard",
    "MinP",
    "PresencePenalty",
    "RepetitionPenalty",
    "SamplingWishes",
    "Stop",
    "either",
    "parse_logit_bias",
    "sampling",
    "unescape",
]

MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        help="Keep tokens at least this likely, relative to the likeliest.  [default: the model's]",
        show_default=False,
    ),
]
PresencePenalty = Annotated[
    float | None,
    typer.Option(help="Subtracted once from the logits of what the answer has said.", show_default=False),
]
FrequencyPenalty = Annotated[
    float | None,
    typer.Option(help="The same, each time that it was said.", show_default=False),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        help="Divides the logits of what question and answer have said.  [default: the model's]",
        show_default=False,
    ),
]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(
        "--logit-bias",
        metavar="TOKEN=BIAS",
        help=r"Make a token, an id or its text, likelier or not (-100 to 100); \n is a line end; repeatable.",
        show_default=False,
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help=r"End the answer before this text; \n is a line end; repeatable.",
        show_default=False,
    ),
]
LoopGuard = Annotated[
    bool | None,
    typer.Option(
        "--loop-guard/--no-loop-guard",
        help="End an answer that repeats itself without end.  [default: loop-guard]",
        show_default=False,
    ),
]

_T = TypeVar("_T")
_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\\": "\\"}


@dataclass(frozen=True, slots=True)
class SamplingWishes:
    """What the user wants of sampling; None leaves it to the model."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: tuple[tuple[int | str, float], ...] | None = None
    seed: int | None = None


def sampling(defaults: "Sampling", wishes: SamplingWishes) -> "Sampling":
    """Give the model's `defaults` with `wishes` laid over them.

    Raises:
        UsageError: A wish is out of range.
    """
    from dataclasses import fields, replace

    wanted = {field.name: getattr(wishes, field.name) for field in fields(wishes)}
    return replace(defaults, **{name: value for name, value in wanted.items() if value is not None})


def parse_logit_bias(items: Iterable[str] | None) -> tuple[tuple[int | str, float], ...] | None:
    """Read TOKEN=BIAS; the last = parts them, and a TOKEN of digits is an id. None where there are none.

    Raises:
        UsageError: An item has no =, or its BIAS is no number.
    """
    return tuple(map(_one_bias, items)) if items else None


def unescape(text: str) -> str:
    r"""Put line ends and tabs where ``\n``, ``\r`` and ``\t`` stand, a backslash for ``\\``; others stay."""
    return re.sub(r"\\[nrt\\]", lambda match: _ESCAPES[match.group()], text)


def either(wish: _T | None, default: _T) -> _T:
    """Give what is wished for, or, without a wish, `default`."""
    return default if wish is None else wish


def _one_bias(item: str) -> tuple[int | str, float]:
    token, _, bias = item.rpartition("=")
    try:
        value = float(bias)
    except ValueError:
        wanted = "TOKEN=BIAS with a number; write e.g. yes=5 or 27=-100"
        raise UsageError(f"--logit-bias {item!r:.60} is not {wanted}") from None
    if not token:
        raise UsageError(f"--logit-bias {item!r:.60} names no token; write e.g. yes=5 or 27=-100")
    return int(token) if re.fullmatch("[0-9]{1,10}", token) else unescape(token), value
