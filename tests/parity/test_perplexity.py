"""Figures on text against llama-perplexity: perplexities and KL divergence, on the demo model."""

import re
import subprocess
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.quant.comparison.compare import compare
from qwen3vl_edge.quant.comparison.held_out import held_out_passage
from qwen3vl_edge.quant.comparison.material import Material
from qwen3vl_edge.quant.comparison.pairs import candidate_pair, pair_of
from qwen3vl_edge.quant.comparison.store import Store
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from tools import peers


def _program() -> Path | str:
    """Give llama-perplexity, or why there is none; before the tests get a cache folder of their own."""
    try:
        return peers.find("llama-perplexity")
    except peers.PeersError as error:
        return str(error)


PROGRAM = _program()
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(isinstance(PROGRAM, str), reason=f"{PROGRAM} (`make peers`)"),
]

CHUNK = 512
WITHIN = 0.02


def perplexity(model: Path, text: Path, base: Path, last: str, *options: str) -> str:
    """Run llama-perplexity until it has said `last`; gives all that it says.

    Its log is written by a thread that its end cuts off now and then: the last lines are then missing.
    """
    command = [PROGRAM, "-m", model, "-f", text, "-c", str(CHUNK), "-t", "2", "--kl-divergence-base", base]
    for _ in range(5):
        done = subprocess.run([*map(str, command), *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        said = done.stdout + done.stderr
        if last in said:
            return said
    pytest.fail(f"llama-perplexity does not end with {last!r}: {said[-2000:]}")


def number(said: str, name: str) -> float:
    found = re.search(rf"{name}\s*[=:]\s*(-?[0-9.]+)", said)
    assert found is not None, f"{name} in {said[-3000:]}"
    return float(found[1])


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M", "Q2_K"])
def test_text_is_scored_as_llama_perplexity_does(kind: str, demo_f32: Bundle, tmp_path: Path) -> None:
    text, base = tmp_path / "text.txt", tmp_path / "base.dat"
    text.write_text(held_out_passage().text, encoding="utf-8")
    bundle = convert(CHECKPOINT, tmp_path / kind, type=kind, projector_type="f16", name="demo")
    ours = pair_of("F32", demo_f32)
    found = compare(
        ours,
        [candidate_pair(bundle.folder, ours)],
        Material(passage=held_out_passage(), chunk_tokens=CHUNK),
        Store(tmp_path / "store"),
        EngineSettings(n_threads=2, n_outputs=128),
    )
    loss = found.candidates[0].losses.both.text
    assert loss is not None
    reference_says = perplexity(demo_f32.model, text, base, "Final estimate")
    assert loss.reference_perplexity == pytest.approx(number(reference_says, "PPL"), rel=WITHIN)
    says = perplexity(bundle.model, text, base, "Same top p: ", "--kl-divergence")
    assert loss.perplexity == pytest.approx(number(says, r"Mean PPL\(Q\)"), rel=WITHIN)
    assert loss.kl.value == pytest.approx(number(says, "Mean    KLD"), rel=WITHIN)
    assert loss.kl_99 == pytest.approx(number(says, "99.0%   KLD"), rel=WITHIN)
    assert loss.kl_max == pytest.approx(number(says, "Maximum KLD"), rel=WITHIN)
    assert 100 * loss.same_top == pytest.approx(number(says, "Same top p"), abs=0.2)
