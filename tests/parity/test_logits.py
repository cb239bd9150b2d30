"""The next token's distribution, transformers against an F32 bundle; prompts in tests/prompts.py."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import pytest
import torch

from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.prompt import TextPart, VisionPart
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from tests.fp8 import Fp8, write_dequantized
from tests.goldens import kl_divergence
from tests.parity.reference import Reference
from tests.prompts import conversations
from tests.tiny_checkpoint import MOE, write_tiny_checkpoint

pytestmark = pytest.mark.parity

MIN_PROMPTS = 20
MEAN_KL = 1e-4


@dataclass(frozen=True)
class Case:
    """A checkpoint, and the KL in nats that no prompt may reach."""

    write: Callable[[Path], Path]
    worst_kl: float = 1e-4


# A prompt's KL jumps to some 1e-3 where the last expert used and the first unused are a near tie in the
# router, and rounding turns it (llama.cpp's flash attention sums in float16). Of 15 random MoE checkpoints
# three had that in one to three of 22 prompts: seed 0 tied, and FP8 with blocks of 128, seeds 0 and 3. The
# gaps were 1e-4 to 2e-3 where logits have a standard deviation of 0.8; with that one expert swapped in the
# reference as well, the same prompts were below 2e-6. The cases below have no such tie.
CASES = {
    "tied": Case(write_tiny_checkpoint),
    "untied, transformers 5": Case(partial(write_tiny_checkpoint, tied=False, spelling="5", seed=1)),
    "demo": Case(lambda _: CHECKPOINT),
    "moe": Case(partial(write_tiny_checkpoint, shape=MOE, tied=False), 1e-3),
    "moe, transformers 5": Case(
        partial(write_tiny_checkpoint, shape=MOE, spelling="5", expert_layout="5", seed=1), 1e-3
    ),
    "fp8": Case(partial(write_tiny_checkpoint, dtype="F8_E4M3", fp8=Fp8((128, 128), "BF16"))),
    "moe, fp8": Case(
        partial(write_tiny_checkpoint, shape=MOE, dtype="F8_E4M3", fp8=Fp8((32, 48), "F32")), 1e-3
    ),
}


@dataclass(frozen=True)
class Pair:
    """The same checkpoint in transformers and as an F32 bundle."""

    reference: Reference
    engine: LlamaEngine
    worst_kl: float


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("parity")
    case = CASES[request.param]
    checkpoint = case.write(folder / "checkpoint")
    # transformers runs eight-bit floats on GPUs alone
    twin = write_dequantized(checkpoint, folder / "twin") if "fp8" in request.param else checkpoint
    bundle = convert(checkpoint, folder / "out", type="f32", projector_type="f32", name="parity")
    with LlamaEngine(bundle, EngineSettings(n_threads=2)) as engine:
        yield Pair(Reference(twin), engine, case.worst_kl)


def test_next_token_distributions_agree(pair: Pair) -> None:
    reference, engine = pair.reference, pair.engine
    found = {}
    for name, messages in conversations().items():
        expected = reference.next_logits(reference.prompt(messages))
        given = engine.next_logits(engine.info.template.parts(messages))
        found[name] = (kl_divergence(expected, given), expected.argmax() == given.argmax())
    assert len(found) >= MIN_PROMPTS
    assert {name: kl for name, (kl, _) in found.items() if not kl < pair.worst_kl} == {}
    assert fmean(kl for kl, _ in found.values()) < MEAN_KL
    assert [name for name, (_, same) in found.items() if not same] == []


def test_prompts_have_the_tokens_of_the_reference(pair: Pair) -> None:
    reference, engine = pair.reference, pair.engine
    for name, messages in conversations().items():
        expected = reference.prompt(messages).inputs["input_ids"].shape[1]
        assert sum(engine.count(engine.info.template.parts(messages))) == expected, name


def test_the_comparison_can_fail(pair: Pair) -> None:
    """A picture turned upside down must show, or the comparison sees no pictures."""
    reference, engine = pair.reference, pair.engine
    messages = conversations()["192x224"]
    parts = engine.info.template.parts(messages)
    upright = engine.next_logits(parts)
    turned = engine.next_logits(
        [part if isinstance(part, TextPart) else VisionPart.of((part.frames[0][::-1],)) for part in parts]
    )
    assert kl_divergence(upright, turned) > 10 * pair.worst_kl
    assert reference.prompt(messages).text.count("<|image_pad|>") == 42
