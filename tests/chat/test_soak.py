"""Two hundred turns about pictures on the demo model: nothing grows."""

from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.images import Picture
from qwen3vl_edge.runtime.engine import Finished, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY

STATUS = Path("/proc/self/status")
N_TURNS, N_WARM = 200, 60


def resident_kib() -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["VmRSS"].removesuffix("kB"))


@pytest.mark.skipif(not STATUS.exists(), reason="resident memory is read from /proc")
def test_memory_stays_flat_over_two_hundred_turns(demo_f32: Bundle) -> None:
    rng = np.random.default_rng(0)
    settings = EngineSettings(n_ctx=1024, n_threads=2, cache_ram_bytes=4 << 20)
    with LlamaEngine(demo_f32, settings) as engine:
        conversation = Conversation(engine, GenerateOptions(GREEDY, 5), policy="drop")
        sizes = []
        pictures = [
            Picture(rng.integers(0, 256, (64, 96, 3), np.uint8), f"noise {number}") for number in range(20)
        ]
        for number in range(N_TURNS):
            *_, finished = conversation.ask(pictures[number % 20], "Describe this image.")
            assert isinstance(finished, Finished)
            assert finished.stop_reason in {"stop", "length"}
            if number % 20 == 0:
                *_, _ = conversation.regenerate()
            sizes.append(resident_kib())
        assert conversation.n_dropped > N_TURNS / 2
        assert max(sizes[N_WARM:]) < 1.05 * sizes[N_WARM]
