"""The next token's distribution, transformers against an F32 bundle; prompts in tests/prompts.py."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from tests.goldens import kl_divergence
from tests.parity.reference import Reference
from tests.prompts import conversations
from tests.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.parity

WORST_KL = 1e-4  # nats, for each prompt
MIN_PROMPTS = 20

Pair = tuple[Reference, LlamaEngine]


@pytest.fixture(scope="module", params=["tied", "untied, transformers 5", "demo"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("parity")
    match request.param:
        case "tied":
            checkpoint = write_tiny_checkpoint(folder / "tied", tied=True)
        case "demo":
            checkpoint = CHECKPOINT
        case _:
            checkpoint = write_tiny_checkpoint(folder / "untied", tied=False, spelling="5", seed=1)
    bundle = convert(checkpoint, folder / "out", type="f32", projector_type="f32", name="parity")
    with LlamaEngine(bundle, n_threads=2) as engine:
        yield Reference(checkpoint), engine


def test_next_token_distributions_agree(pair: Pair) -> None:
    reference, engine = pair
    found = {}
    for name, messages in conversations().items():
        expected = reference.next_logits(reference.prompt(messages))
        given = engine.next_logits(engine.info.template.parts(messages))
        found[name] = (kl_divergence(expected, given), expected.argmax() == given.argmax())
    assert len(found) >= MIN_PROMPTS
    assert {name: kl for name, (kl, _) in found.items() if not kl < WORST_KL} == {}
    assert [name for name, (_, same) in found.items() if not same] == []


def test_prompts_have_the_tokens_of_the_reference(pair: Pair) -> None:
    reference, engine = pair
    for name, messages in conversations().items():
        expected = reference.prompt(messages).inputs["input_ids"].shape[1]
        assert sum(engine.count(engine.info.template.parts(messages))) == expected, name


def test_the_comparison_can_fail(pair: Pair) -> None:
    """A picture turned upside down must show, or the comparison sees no pictures."""
    reference, engine = pair
    messages = conversations()["192x224"]
    parts = engine.info.template.parts(messages)
    upright = engine.next_logits(parts)
    picture = next(part for part in parts if hasattr(part, "frames"))
    picture.frames[0][:] = np.ascontiguousarray(picture.frames[0][::-1])
    turned = engine.next_logits(parts)
    assert kl_divergence(upright, turned) > WORST_KL
    assert reference.prompt(messages).text.count("<|image_pad|>") == 42
