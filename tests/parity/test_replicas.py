"""Replicas of the demo model for `tools.bench.quality`; torch writes their bfloat16."""

from pathlib import Path

import pytest

from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from qwen3vl_edge.quant.comparison.measure import Measurer
from qwen3vl_edge.quant.comparison.pairs import pair_of
from qwen3vl_edge.quant.comparison.store import Store
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from tools.bench.quality.material import measured_on
from tools.bench.quality.paired import mean, sums_of
from tools.bench.quality.replicas import write_replica

pytestmark = pytest.mark.parity


def test_a_replica_is_the_same_function(tmp_path: Path) -> None:
    """Other weights in both halves, the same answers but for the order of sums."""
    sources = {"first": CHECKPOINT, "second": write_replica(tmp_path / "replica", 1)}
    first, second = (
        pair_of(name, convert(source, tmp_path / name, type="f32", projector_type="f32", name="demo"))
        for name, source in sources.items()
    )
    assert first.model_id != second.model_id
    assert first.projector_id != second.projector_id
    store, settings = Store(tmp_path / "store"), EngineSettings(n_threads=2)
    measurer = Measurer(first, measured_on(3, 2), store, settings)
    found = sums_of(measurer.observe(second, measurer.answer()))
    assert mean(found, "picture") < 1e-6
    assert mean(found, "clip") < 1e-6
    assert found.changed == 0
