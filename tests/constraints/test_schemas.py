import json
from collections.abc import Iterator
from random import Random

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.constraints import from_schema
from qwen3vl_edge.runtime.model import TextModel
from tests.constraints.native import Native
from tests.constraints.random_schemas import canonical, random_schema
from tests.constraints.walks import fits, random_text

SEEDS = range(200)


@pytest.fixture(scope="module")
def native(demo_f32: Bundle) -> Iterator[Native]:
    model = TextModel(demo_f32.model)
    yield Native(model)
    model.close()


def test_whatever_a_grammar_fits_its_schema_allows() -> None:
    for seed in SEEDS:
        constraint, rng = from_schema(random_schema(seed).schema), Random(seed)
        for _ in range(4):
            constraint.check(random_text(constraint.grammar, rng))


def test_grammars_fit_the_values_that_the_schema_allows() -> None:
    for seed in SEEDS:
        drawn, rng = random_schema(seed), Random(seed)
        grammar = from_schema(drawn.schema).grammar
        for compact in (True, False):
            text = canonical(drawn.value(rng), compact)
            assert fits(grammar, text), (seed, text)


def test_llama_cpp_follows_every_grammar(native: Native) -> None:
    for seed in SEEDS:
        drawn, rng = random_schema(seed), Random(seed)
        grammar = from_schema(drawn.schema).grammar
        text = canonical(drawn.value(rng), compact=seed % 2 == 0)
        assert native.fits(grammar, text), (seed, text)
        assert not native.fits(grammar, text[:-1] + "\x00"), seed


def test_every_answer_of_random_tokens_is_valid(native: Native) -> None:
    drawn = 0
    for seed in SEEDS:
        schema = random_schema(seed).schema
        if "[a-z]*" in json.dumps(schema) or "end$" in json.dumps(schema):
            continue  # tokens at random do not find the way out of a pattern that must end in a word
        drawn += 1
        constraint = from_schema(schema)
        constraint.check(native.random_text(constraint.grammar, Random(seed)))
    assert drawn > 150


def test_an_answer_that_is_cut_off_anywhere_can_be_brought_to_its_end() -> None:
    for seed in SEEDS:
        constraint, rng = from_schema(random_schema(seed).schema), Random(seed)
        text = random_text(constraint.grammar, rng)
        for cut in {0, rng.randint(0, len(text)), len(text)}:
            follower = constraint.follow()
            assert follower.take(text[:cut])
            ending = follower.ending()
            constraint.check(text[:cut] + ending)
            assert (ending == "") == (follower.may_end), (seed, text[:cut], ending)
            assert cut + len(ending) <= len(text), (seed, text, cut, ending)
