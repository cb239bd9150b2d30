"""Quantized pairs of the demo model answer, with llama.cpp's extra CPU buffers and without."""

from pathlib import Path

import pytest

from qwen3vl_edge.ask import ask
from qwen3vl_edge.bundle import Bundle, find_bundles
from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.runtime import llama_engine
from qwen3vl_edge.runtime.engine import Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.soundness import Soundness
from qwen3vl_edge.sampling import GREEDY

TYPES = ("Q8_0", "Q6_K", "Q4_K_M", "Q3_K_M", "Q2_K", "Q4_0", "IQ4_XS")
SAMPLE = Path(__file__).parents[2] / "samples" / "red_circle.png"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    out = tmp_path_factory.mktemp("quantized") / "out"
    run_plan(plan_conversion(CHECKPOINT, Recipe(TYPES, "Q8_0")), out)
    return dict(zip(TYPES, find_bundles(out), strict=True))


@pytest.mark.parametrize("extra_buffers", [True, False])
@pytest.mark.parametrize("name", TYPES)
def test_a_quantized_pair_answers(
    bundles: dict[str, Bundle], name: str, extra_buffers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = llama_engine.extra_buffers_are_sound().extra_buffers
    if extra_buffers and not asked:
        pytest.skip("they are not sound here")
    verdict = Soundness(extra_buffers, None if extra_buffers else "switched off by the test")
    monkeypatch.setattr(llama_engine, "extra_buffers_are_sound", lambda: verdict)
    with llama_engine.LlamaEngine(bundles[name], EngineSettings(n_threads=2)) as engine:
        options = GenerateOptions(GREEDY, max_tokens=10)
        events = ask(engine, "What color is the circle?", options, pictures=[SAMPLE])
        answer = "".join(event.text for event in events if isinstance(event, Generated))
    assert answer == "Red."
