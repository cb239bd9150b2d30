"""How the next token is chosen: plain settings, with the defaults of the model family."""

from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError

__all__ = ["GREEDY", "Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of the sampler; the defaults are the Instruct checkpoints' generation_config.json.

    ``temperature`` 0 means greedy. ``top_k`` 0, ``top_p`` 1, ``min_p`` 0, ``repetition_penalty`` 1 and
    ``presence_penalty`` 0 switch that filter off. ``seed`` None draws a new one each time.

    Raises:
        UsageError: A value is outside its range.
    """

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        in_range = {
            "temperature (0 or more)": 0 <= self.temperature < float("inf"),
            "top-p (above 0, at most 1)": 0 < self.top_p <= 1,
            "top-k (0 to 2147483647)": 0 <= self.top_k < 1 << 31,
            "min-p (0 to 1)": 0 <= self.min_p <= 1,
            "repetition penalty (above 0)": 0 < self.repetition_penalty < float("inf"),
            "seed (0 to 4294967294)": self.seed is None or 0 <= self.seed < 0xFFFFFFFF,
        }
        wrong = [name for name, right in in_range.items() if not right]
        if wrong:
            raise UsageError(f"out of range: {', '.join(wrong)}")


GREEDY = Sampling(temperature=0.0)
"""Always the most likely token."""
