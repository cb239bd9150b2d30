"""One option for each item within a budget: against all possible choices."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen3vl_edge.quant.allocation.knapsack import Option, pack

OPTIONS = st.lists(
    st.builds(
        Option, n_bytes=st.integers(1, 60), damage=st.integers(0, 640).map(lambda eighths: eighths / 8)
    ),
    min_size=1,
    max_size=4,
)
ITEMS = st.lists(OPTIONS, min_size=1, max_size=5)


# how fast a loaded machine draws and packs is no fault of either
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def best(items: list[list[Option]], budget: int) -> float | None:
    """Return the least damage of all choices that fit."""
    fitting = [
        sum(option.damage for option in chosen)
        for chosen in product(*items)
        if sum(option.n_bytes for option in chosen) <= budget
    ]
    return min(fitting, default=None)


@unhurried
@given(ITEMS, st.integers(1, 300))
def test_a_choice_fits_and_is_as_near_the_best_one_as_it_says(items: list[list[Option]], budget: int) -> None:
    packing, least = pack(items, budget), best(items, budget)
    if least is None:
        assert packing is None
        return
    assert packing is not None
    picked = [options[i] for options, i in zip(items, packing.chosen, strict=True)]
    assert packing.n_bytes == sum(option.n_bytes for option in picked) <= budget
    assert packing.damage == pytest.approx(sum(option.damage for option in picked))
    assert packing.bound <= least + 1e-9
    assert packing.damage >= least - 1e-9
    # the step that no longer fits is all that the relaxation has more
    largest = max(option.damage for options in items for option in options)
    assert packing.damage - packing.bound <= largest + 1e-9


@unhurried
@given(ITEMS)
def test_with_room_for_all_each_item_gets_its_best(items: list[list[Option]]) -> None:
    packing = pack(items, 1000)
    assert packing is not None
    assert packing.damage == pytest.approx(sum(min(o.damage for o in options) for options in items))
    assert packing.gap == pytest.approx(0, abs=1e-12)


def test_exchanges_find_what_steps_alone_do_not() -> None:
    # by slope the first item takes 6 bytes, and nothing is left for the second, which saves more
    items = [[Option(1, 10.0), Option(6, 4.0)], [Option(1, 10.0), Option(10, 0.5)]]
    packing = pack(items, 11)
    assert packing is not None
    assert packing.chosen == (0, 1)
    assert 0 < packing.gap < 1


def test_the_bound_is_a_damage_whatever_is_rounded() -> None:
    # the losses of the first options outweigh what is left at the end by more than a float has digits
    items = [[Option(1, 1e3 / n), Option(2, 1e-17 / n)] for n in range(1, 40)]
    packing = pack(items, 1000)
    assert packing is not None
    assert packing.bound == pytest.approx(packing.damage, rel=1e-9, abs=0)
    assert packing.gap == pytest.approx(0, abs=1e-9)
