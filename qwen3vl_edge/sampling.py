"""How the next token is chosen: plain settings, with the defaults of the model family."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from qwen3vl_edge.errors import UsageError

__all__ = ["GREEDY", "Sampling"]

_GREATEST_PENALTY = 2.0  # OpenAI API reference: presence_penalty and frequency_penalty are -2 to 2
_GREATEST_BIAS = 100.0  # the same: logit_bias is -100 to 100, where the ends ban a token or force it
_N_TOKEN_IDS = 1 << 31  # llama_token is int32_t, llama.h 0c1e57098


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of the sampler; the defaults are the Instruct checkpoints' generation_config.json.

    ``temperature`` 0 means greedy. ``top_k`` 0, ``top_p`` 1, ``min_p`` 0, ``repetition_penalty`` 1 and
    ``presence_penalty`` and ``frequency_penalty`` 0 switch that filter off. ``seed`` None draws a new one
    each time.

    ``repetition_penalty`` counts the tokens of the prompt's text and of the answer, as transformers does;
    ``presence_penalty`` and ``frequency_penalty`` count the answer's alone, as OpenAI's API and vLLM do.

    ``logit_bias`` pairs tokens with what is added to their logits: -100 bans one, 100 forces it. An int is
    a token's id; a str is text that must be one token of the model, which is found out when the model is
    there. Of two values for the same token the later one holds.

    Raises:
        UsageError: A value is outside its range.
    """

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int | str, float], ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        in_range = {
            "temperature (0 or more)": 0 <= self.temperature < float("inf"),
            "top-p (above 0, at most 1)": 0 < self.top_p <= 1,
            "top-k (0 to 2147483647)": 0 <= self.top_k < 1 << 31,
            "min-p (0 to 1)": 0 <= self.min_p <= 1,
            # with these bounds a logit stays finite in float32
            "repetition penalty (0.000001 to 1000000)": 1e-6 <= self.repetition_penalty <= 1e6,
            "presence penalty (-2 to 2)": abs(self.presence_penalty) <= _GREATEST_PENALTY,
            "frequency penalty (-2 to 2)": abs(self.frequency_penalty) <= _GREATEST_PENALTY,
            "seed (0 to 4294967294)": self.seed is None or 0 <= self.seed < 0xFFFFFFFF,
        }
        wrong = [name for name, right in in_range.items() if not right]
        wrong += self._wrong_biases()
        if wrong:
            raise UsageError(f"out of range: {', '.join(wrong)}")

    def _wrong_biases(self) -> Iterator[str]:
        for token, bias in self.logit_bias:
            if not (isfinite(bias) and abs(bias) <= _GREATEST_BIAS):
                yield f"logit bias of {token!r:.40} (-100 to 100)"
            if token == "" or (isinstance(token, int) and not 0 <= token < _N_TOKEN_IDS):
                yield f"token {token!r:.40} of a logit bias (an id from 0, or text)"


GREEDY = Sampling(temperature=0.0)
"""Always the most likely token."""
