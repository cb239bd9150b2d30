"""Clips of every length, several in a prompt, mixed with pictures: transformers against an F32 bundle."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.messages import Content, Message
from qwen3vl_edge.prompt import TextPart
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.video import load_clip
from tests.goldens import kl_divergence
from tests.parity.reference import Reference
from tests.prompts import synthetic_clip, synthetic_picture
from tests.test_video import write_clip
from tests.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.parity

WORST_KL = 1e-4
N_FRAMES = range(1, 25)
QUESTION = "When does the red star appear, and which clip is longer?"


@pytest.fixture(scope="module", params=["tiny", "demo"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Reference, LlamaEngine]]:
    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("clips")
    checkpoint = write_tiny_checkpoint(folder / "tiny") if request.param == "tiny" else CHECKPOINT
    bundle = convert(checkpoint, folder / "out", type="f32", projector_type="f32", name="parity")
    with LlamaEngine(bundle, EngineSettings(n_threads=2)) as engine:
        yield Reference(checkpoint), engine


def worst(
    pair: tuple[Reference, LlamaEngine], prompts: dict[str, list[Message]], *, add_vision_id: bool = False
) -> dict[str, float]:
    """Give the prompts that differ too much."""
    reference, engine = pair
    found = {}
    for name, messages in prompts.items():
        expected = reference.next_logits(reference.prompt(messages, add_vision_id=add_vision_id))
        given = engine.next_logits(engine.info.template.parts(messages, add_vision_id=add_vision_id))
        found[name] = kl_divergence(expected, given)
    return {name: kl for name, kl in found.items() if not kl < WORST_KL}


def test_clips_of_every_length_agree(pair: tuple[Reference, LlamaEngine]) -> None:
    prompts = {
        f"{n} frames": [Message("user", (synthetic_clip(n, n, fps=2.0 + n), QUESTION))] for n in N_FRAMES
    }
    assert worst(pair, prompts) == {}


@pytest.mark.parametrize("seed", range(4))
def test_clips_pictures_and_texts_in_any_order_agree(pair: tuple[Reference, LlamaEngine], seed: int) -> None:
    random = np.random.default_rng(seed)
    content: list[Content] = [synthetic_clip(10 * seed + n, int(random.integers(1, 9))) for n in range(3)]
    content += [synthetic_picture(seed, 64, 96), "First this. ", " Then that."]
    mixed = tuple(content[place] for place in random.permutation(len(content)))
    assert worst(pair, {"mixed": [Message("user", (*mixed, QUESTION))]}) == {}


def test_numbered_pictures_and_clips_agree(pair: tuple[Reference, LlamaEngine]) -> None:
    """With ``--vision-ids``, over several turns."""
    first = (synthetic_clip(1, 5), synthetic_picture(2, 64, 96), synthetic_clip(3, 2), "Compare Video 2.")
    second = (synthetic_picture(4, 96, 64), "And Picture 2?")
    prompts = {
        "one turn": [Message("user", first)],
        "two turns": [Message("user", first), Message("assistant", ("It is.",)), Message("user", second)],
        "clips alone": [Message("user", (synthetic_clip(5, 3), synthetic_clip(6, 4), QUESTION))],
    }
    assert worst(pair, prompts, add_vision_id=True) == {}
    numbered = pair[1].info.template.parts(prompts["two turns"], add_vision_id=True)
    text = "".join(part.text for part in numbered if isinstance(part, TextPart))
    can_number = "add_vision_id" in pair[0].template  # that of the tiny checkpoint cannot
    found = [name in text for name in ("Video 2: ", "Picture 2: ", "Video 3: ")]
    assert found == [can_number, can_number, False]


def test_a_clip_from_a_file_agrees(pair: tuple[Reference, LlamaEngine], tmp_path: Path) -> None:
    clip = load_clip(write_clip(tmp_path / "clip.webm", 61, 25.0), VideoLimits())
    assert len(clip.moments) >= 2
    assert worst(pair, {"file": [Message("user", (clip, QUESTION))]}) == {}
