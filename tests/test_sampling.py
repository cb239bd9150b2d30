import math

import pytest

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.sampling import GREEDY, Sampling


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("temperature", (-0.1, math.inf, math.nan)),
        ("top_p", (0.0, 1.1, math.nan)),
        ("top_k", (-1, 1 << 31)),
        ("min_p", (-0.1, 1.1, math.nan)),
        ("repetition_penalty", (0.0, 1e-40, 1e30, math.nan)),
        ("presence_penalty", (-2.1, 2.1, math.nan, math.inf)),
        ("frequency_penalty", (-2.1, 2.1, math.nan, math.inf)),
        ("seed", (-1, 0xFFFFFFFF)),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(name: str, wrong: tuple[float, ...]) -> None:
    for value in wrong:
        with pytest.raises(UsageError, match=name.replace("_", ".")):
            Sampling(**{name: value})


def test_the_ends_of_the_ranges_are_allowed() -> None:
    low = Sampling(0, 1e-9, 0, 0, 1e-6, -2, -2, (), 0)
    high = Sampling(100, 1, (1 << 31) - 1, 1, 1e6, 2, 2, ((0, -100.0), ("a", 100.0)), 0xFFFFFFFE)
    assert (low.presence_penalty, high.frequency_penalty) == (-2, 2)


@pytest.mark.parametrize("bias", [100.5, -101, math.nan, math.inf])
def test_a_bias_beyond_100_is_refused(bias: float) -> None:
    with pytest.raises(UsageError, match=r"logit bias of 'yes' \(-100 to 100\)"):
        Sampling(logit_bias=(("yes", bias),))


@pytest.mark.parametrize("token", [-1, 1 << 31, ""])
def test_a_bias_of_no_possible_token_is_refused(token: int | str) -> None:
    with pytest.raises(UsageError, match="of a logit bias"):
        Sampling(logit_bias=((token, 1.0),))


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"temperature .*, top-k .*, logit bias"):
        Sampling(temperature=-1, top_k=-1, logit_bias=((5, 1e9),))


def test_greedy_is_temperature_0() -> None:
    assert GREEDY.temperature == 0
