import pytest

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.runtime.settings import sampling_defaults
from qwen3vl_edge.sampling import Sampling


def test_every_default_that_gguf_has_a_key_for_is_read() -> None:
    stored = {
        "general.sampling.temp": "0.600000",
        "general.sampling.top_p": "0.950000",
        "general.sampling.top_k": "40",
        "general.sampling.min_p": "0.050000",
        "general.sampling.penalty_repeat": "1.100000",
    }
    assert sampling_defaults(stored.get) == Sampling(0.6, 0.95, 40, 0.05, 1.1)


@pytest.mark.parametrize("value", ["warm", "", "-1", "nan", "inf", "1e400"])
@pytest.mark.parametrize("key", ["temp", "top_p", "top_k", "min_p", "penalty_repeat"])
def test_defaults_that_cannot_be_are_told(key: str, value: str) -> None:
    with pytest.raises(GGUFError, match=r"general\.sampling.*; convert the checkpoint again") as raised:
        sampling_defaults({f"general.sampling.{key}": value}.get)
    assert "\n" not in str(raised.value)
