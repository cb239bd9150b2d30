"""Two hundred random schemas: every answer has its form, whatever the model would rather say."""

from collections.abc import Iterator

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.constraints import from_schema
from qwen3vl_edge.images import Picture
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.engine import Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import Sampling
from tests.constraints.random_schemas import random_schema
from tests.prompts import synthetic_picture

N_SCHEMAS, N_A_TEST = 200, 25
MAX_TOKENS = 160  # many answers would be longer: they have to be closed in good form


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Iterator[LlamaEngine]:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as opened:
        yield opened


@pytest.fixture(scope="module")
def shown() -> Picture:
    return synthetic_picture(3, 96, 128)


@pytest.mark.parametrize("first", range(0, N_SCHEMAS, N_A_TEST))
def test_answers_about_a_picture_follow_any_schema(engine: LlamaEngine, shown: Picture, first: int) -> None:
    parts = engine.info.template.parts([Message("user", (shown, "What is it?"))])
    for seed in range(first, first + N_A_TEST):
        constraint = from_schema(random_schema(seed).schema)
        sampling = Sampling(temperature=2.0, top_p=1.0, top_k=0, seed=seed)
        options = GenerateOptions(sampling, MAX_TOKENS, constraint=constraint, loop_guard=False)
        events = engine.generate(parts, options)
        answer = "".join(event.text for event in events if isinstance(event, Generated))
        constraint.check(answer)
