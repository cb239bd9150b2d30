"""An engine for tests: answers from a script, needs no model, checks its caller."""

from collections.abc import Callable, Iterator, Sequence

from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.prompt import ChatTemplate, Part, SpecialTokens, TextPart
from qwen3vl_edge.runtime.engine import (
    Candidate,
    EngineInfo,
    Event,
    Finished,
    Generated,
    GenerateOptions,
    StopReason,
    TokenCounts,
    TokenLogprob,
)
from qwen3vl_edge.sampling import Sampling

__all__ = ["ScriptedEngine"]

_TEMPLATE = """\
{%- for message in messages %}[{{ message.role }}]
{%- for item in message.content -%}
{%- if item.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>
{%- else %}{{ item.text }}{% endif -%}
{%- endfor -%}
{%- endfor %}"""

_SPECIAL_TOKENS = SpecialTokens(
    control=("<|vision_start|>", "<|image_pad|>", "<|video_pad|>", "<|vision_end|>", "<|im_end|>"),
    user_defined=("<think>", "</think>"),
)


class ScriptedEngine:
    """Answers each prompt with ``answer(parts)``, one character a token; keeps the prompts it was given.

    An exception that ``answer`` raises comes out of `generate`, as a failing engine's would.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Part]], str],
        image_limits: ImageLimits | None = None,
        video_limits: VideoLimits | None = None,
    ) -> None:
        self._answer = answer
        self.prompts: list[tuple[Part, ...]] = []
        self._info = EngineInfo(
            name="scripted",
            template=ChatTemplate(_TEMPLATE, _SPECIAL_TOKENS),
            image_limits=image_limits or ImageLimits(),
            video_limits=video_limits or VideoLimits(),
            sampling=Sampling(),
        )

    @property
    def info(self) -> EngineInfo:
        """What is known of the model."""
        return self._info

    def generate(self, parts: Sequence[Part], options: GenerateOptions) -> Iterator[Event]:
        """Continue the prompt `parts` with the scripted answer, cut at ``options.max_tokens``."""
        self.prompts.append(tuple(parts))
        whole = self._answer(parts)
        shown = whole[: options.max_tokens]
        for character in shown:
            yield Generated(character, _logprob(character, options.n_logprobs))
        stop: StopReason = "stop" if len(whole) < options.max_tokens else "length"
        if stop == "stop":
            yield Generated("", _logprob("<|im_end|>", options.n_logprobs))
        n_text = sum(len(part.text) for part in parts if isinstance(part, TextPart))
        n_vision = sum(
            (part.frames[0].shape[0] // 32) * (part.frames[0].shape[1] // 32)
            for part in parts
            if not isinstance(part, TextPart)
        )
        yield Finished(stop, TokenCounts(n_text, n_vision, len(shown) + (stop == "stop")))


def _logprob(token: str, n_candidates: int | None) -> TokenLogprob | None:
    if n_candidates is None:
        return None
    certain = Candidate(token, ord(token[0]), 0.0)
    return TokenLogprob(token, certain.id, certain.logprob, (certain,) * min(n_candidates, 1))
