"""How the next token is chosen: plain settings, with the defaults of the model family."""

from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError

__all__ = ["GREEDY", "Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of the sampler; the defaults are those of the Instruct model cards.

    ``temperature`` 0 means greedy. ``top_k`` 0, ``top_p`` 1, ``repetition_penalty`` 1 and
    ``presence_penalty`` 0 switch that filter off. ``seed`` None draws a new one each time.

    Raises:
        UsageError: A value is outside its range.
    """

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        in_range = {
            "temperature (0 or more)": self.temperature >= 0,
            "top-p (above 0, at most 1)": 0 < self.top_p <= 1,
            "top-k (0 or more)": self.top_k >= 0,
            "repetition penalty (above 0)": self.repetition_penalty > 0,
            "seed (0 to 4294967294)": self.seed is None or 0 <= self.seed < 0xFFFFFFFF,
        }
        wrong = [name for name, right in in_range.items() if not right]
        if wrong:
            raise UsageError(f"out of range: {', '.join(wrong)}")


GREEDY = Sampling(temperature=0.0)
"""Always the most likely token."""
