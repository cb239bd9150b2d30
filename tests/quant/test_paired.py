"""The statistics of `tools.bench.quality`."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tools.bench.quality.paired import Sums, mean, ratio


def sums(picture: NDArray[np.float64]) -> Sums:
    """Make losses on pictures alone, three tokens each."""
    empty = np.zeros(0)
    return Sums(
        {"text": empty, "picture": picture, "clip": empty},
        {"text": empty, "picture": np.full(picture.size, 3.0), "clip": empty},
        0.0,
    )


HARD = np.random.default_rng(1).lognormal(0, 2, 80)  # prompts differ far more than candidates do


def test_a_mean_is_over_tokens() -> None:
    assert mean(sums(np.array([3.0, 9.0])), "picture") == pytest.approx(2.0)


def test_what_is_hard_for_both_cancels() -> None:
    """Half of the loss on each picture is half of it in every resample, however unlike the pictures are."""
    found = ratio([sums(HARD / 2)], [sums(HARD)], "picture")
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_several_pairs_count_alike() -> None:
    """Twice and a half make 1, though one pair loses a thousand times more."""
    found = ratio([sums(2000 * HARD), sums(HARD / 2)], [sums(1000 * HARD), sums(HARD)], "picture")
    assert found.value == pytest.approx(1.0)


def test_an_interval_holds_what_chance_makes() -> None:
    rng = np.random.default_rng(2)
    one, other = (sums(rng.lognormal(0, 0.5, 200)) for _ in range(2))
    found = ratio([one], [other], "picture")
    assert found.low < 1 < found.high
    assert 0.05 < found.high - found.low < 0.5


def test_one_pictures_luck_shows_in_the_interval() -> None:
    """A gain that one single picture brings is none."""
    lucky = HARD.copy()
    lucky[np.argmax(lucky)] /= 100
    found = ratio([sums(lucky)], [sums(HARD)], "picture")
    assert found.value < 0.95
    assert found.high == pytest.approx(1.0)
