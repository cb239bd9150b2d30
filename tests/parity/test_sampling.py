"""The odds of the next token against transformers' logits processors, in the order in which it puts them."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig
from transformers.generation.utils import GenerationMixin

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.sampling import Sampling

pytestmark = pytest.mark.parity

N_DRAWS = 8000
PROMPT = [70, 71, 72, 70]
BIASED = {65: 4.0, 70: 3.0, 80: -100.0}


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[TextModel]:
    opened = TextModel(tiny_bundle.model)
    yield opened
    opened.close()


def reference_odds(logits: NDArray[np.float32], chosen: Sampling, admitted: list[int]) -> NDArray[np.float64]:
    config = GenerationConfig(
        do_sample=True,
        num_beams=1,
        temperature=chosen.temperature,
        top_k=chosen.top_k,
        top_p=chosen.top_p,
        min_p=chosen.min_p,
        repetition_penalty=chosen.repetition_penalty,
        sequence_bias={(token,): bias for token, bias in BIASED.items()},
    )
    config._eos_token_tensor = None
    mixin = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False))
    mixin._merge_criteria_processor_list = lambda made, given: made
    processors = GenerationMixin._get_logits_processor(
        mixin, config, len(PROMPT), prefix_allowed_tokens_fn=lambda _batch, _ids: admitted
    )
    scores = processors(torch.tensor([PROMPT]), torch.from_numpy(logits[None]))
    odds: NDArray[np.float64] = torch.softmax(scores.double(), -1).numpy()[0]
    return odds


@pytest.mark.parametrize(
    "filters",
    [
        {"top_k": 12, "top_p": 1.0, "min_p": 0.0},
        {"top_k": 0, "top_p": 0.7, "min_p": 0.0},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.15},
        {"top_k": 15, "top_p": 0.8, "min_p": 0.1},
    ],
)
@pytest.mark.parametrize("constrained", [False, True])
def test_odds_are_those_of_transformers(
    model: TextModel, filters: dict[str, float], constrained: bool
) -> None:
    logits = np.random.default_rng(4).normal(0, 3, model.n_vocab).astype(np.float32)
    chosen = Sampling(
        temperature=1.4, repetition_penalty=1.5, logit_bias=tuple(BIASED.items()), seed=3, **filters
    )
    admitted = [
        token for token in range(model.n_vocab) if not constrained or 0x61 <= _byte(model, token) <= 0x7A
    ]
    with closing(Sampler(model, chosen, PROMPT, 256, "root ::= [a-z]" if constrained else None)) as sampler:
        sampler.begin_answer()
        draws = [sampler.pick(logits) for _ in range(N_DRAWS)]
    drawn = np.bincount(draws, minlength=model.n_vocab) / N_DRAWS
    expected = reference_odds(logits, chosen, admitted)
    assert not drawn[expected == 0].any()
    assert np.abs(drawn - expected).sum() / 2 < 0.03


def _byte(model: TextModel, token: int) -> int:
    piece = model.piece(token)
    return piece[0] if len(piece) == 1 else -1
