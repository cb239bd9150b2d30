import json
from decimal import Decimal
from random import Random

import pytest

from qwen3vl_edge.constraints import from_schema, read_gbnf
from qwen3vl_edge.constraints.machine import Machine
from qwen3vl_edge.constraints.rules import Rules
from qwen3vl_edge.errors import UsageError
from tests.constraints.walks import fits, random_text


def fitted(rules: Rules, text: str) -> bool:
    machine = Machine(rules)
    return all(machine.step(char) for char in text) and machine.may_end


@pytest.mark.parametrize("seed", range(40))
def test_integers_are_exactly_those_between_the_bounds(seed: int) -> None:
    rng = Random(seed)
    low, high = sorted((rng.randint(-130, 130), rng.randint(-130, 130)))
    rules = read_gbnf(from_schema({"type": "integer", "minimum": low, "maximum": high}).grammar)
    assert [i for i in range(-200, 200) if fitted(rules, str(i))] == list(range(low, high + 1))
    assert not fitted(rules, "-0")
    assert not fitted(rules, f"0{high}")


@pytest.mark.parametrize("seed", range(40))
def test_decimals_are_exactly_those_between_the_bounds(seed: int) -> None:
    rng = Random(seed)
    low, high = sorted(Decimal(i).scaleb(-2) for i in rng.sample(range(-1200, 1200), k=2))
    strict = rng.random() < 0.5
    names = ("exclusiveMinimum", "exclusiveMaximum") if strict else ("minimum", "maximum")
    schema = {"type": "number", names[0]: float(low), names[1]: float(high)}
    rules = read_gbnf(from_schema(schema).grammar)
    for i in range(-12500, 12500, 7):
        value = Decimal(i).scaleb(-3)
        inside = low < value < high if strict else low <= value <= high
        assert fitted(rules, str(value)) is inside, value
    for bound in (low, high):
        assert fitted(rules, f"{bound:.2f}") is (not strict), bound


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, "0 -1 999999999999999 -999999999999999", "-0 01 1.0 1e3 +1 1000000000000000"),
        ({"type": "number"}, "0 -0.5 1e10 1.5E-7 123.456", "01 .5 1. 1e400 NaN Infinity"),
        ({"type": "integer", "minimum": 7}, "7 10 99 123456", "6 0 -7"),
        ({"type": "integer", "maximum": -7}, "-7 -10 -123456", "-6 0 7"),
        ({"type": "integer", "exclusiveMinimum": 0}, "1 10", "0 -1"),
        ({"type": "number", "exclusiveMinimum": 0}, "0.001 1 0.00000000000001 7.5", "0 0.0 0.000 -1"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "0 1 0.5 1.000", "1.001 -0.1 2"),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, "5 -5", "1000000000000000"),
        ({"type": "integer", "minimum": 0.5, "maximum": 2.5}, "1 2", "0 3"),
        ({"type": ["integer", "null"], "minimum": 1, "maximum": 1}, "1 null", "0"),
    ],
)
def test_examples(schema: dict[str, object], good: str, bad: str) -> None:
    grammar = from_schema(schema).grammar
    assert [text for text in good.split() if not fits(grammar, text)] == []
    assert [text for text in bad.split() if fits(grammar, text)] == []


def test_no_number_near_an_excluded_bound_is_rounded_to_it() -> None:
    schema = {"type": "number", "exclusiveMinimum": 12.5, "exclusiveMaximum": 100}
    constraint = from_schema(schema)
    for seed in range(300):
        text = random_text(constraint.grammar, Random(seed))
        assert 12.5 < json.loads(text) < 100, text
    assert not fits(constraint.grammar, "99.99999999999999999")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"type": "integer", "minimum": 0.1, "maximum": 0.9},
    ],
)
def test_an_empty_range_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no answer can be valid"):
        from_schema(schema)


def test_bounds_of_too_many_digits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"#: bound 0\.1234567890123456 has more than 15 digits"):
        from_schema({"type": "number", "minimum": 0.1234567890123456})
