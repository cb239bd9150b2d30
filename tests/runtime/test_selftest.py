import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime import selftest
from qwen3vl_edge.runtime.probe_model import MATRICES, N_VOCAB, Matrix, write_probe_model
from qwen3vl_edge.runtime.probe_run import N_PREFILL, N_SEQUENCES, N_SINGLE, probe_logits, schedule
from qwen3vl_edge.runtime.selftest import TOLERANCE, judge, logits_error

N_ROWS = N_PREFILL + N_SEQUENCES + N_SINGLE


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    write_probe_model(folder / "quantized.gguf", folder / "reference.gguf")
    return folder / "quantized.gguf"


@pytest.fixture(scope="module")
def oracle(quantized: Path) -> NDArray[np.float32]:
    return probe_logits(quantized.with_name("reference.gguf"), extra_buffers=False)


@pytest.mark.parametrize("extra_buffers", [True, False])
@pytest.mark.parametrize("n_at_once", [1, 5, 32, N_PREFILL])
def test_a_sound_build_stays_far_below_the_tolerance(
    quantized: Path, oracle: NDArray[np.float32], extra_buffers: bool, n_at_once: int
) -> None:
    logits = probe_logits(quantized, extra_buffers=extra_buffers, n_at_once=n_at_once)
    assert logits.shape == (N_ROWS, N_VOCAB)
    assert 0 < logits_error(logits, oracle) < TOLERANCE / 2


@pytest.mark.parametrize("matrix", MATRICES, ids=lambda matrix: matrix.name)
def test_losing_one_row_in_sixteen_of_any_matrix_shows(
    quantized: Path, oracle: NDArray[np.float32], tmp_path: Path, matrix: Matrix
) -> None:
    damaged = Path(shutil.copy(quantized, tmp_path))
    reader = gguf.GGUFReader(damaged, "r+")
    next(tensor for tensor in reader.tensors if tensor.name == matrix.name).data[::16] = 0
    del reader  # writes the map back
    assert logits_error(probe_logits(damaged, extra_buffers=False), oracle) > 2 * TOLERANCE


def test_a_model_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUF")
    with pytest.raises(EngineError, match="does not load"):
        probe_logits(tmp_path / "no.gguf", extra_buffers=False)


@pytest.mark.parametrize("n_at_once", [1, 5, N_PREFILL])
def test_the_schedule_is_the_same_text_however_it_is_cut(n_at_once: int) -> None:
    whole, cut = schedule(N_PREFILL), schedule(n_at_once)
    assert [t for batch in cut for t in batch.tokens] == [t for batch in whole for t in batch.tokens]
    assert [p for batch in cut for p in batch.positions] == [p for batch in whole for p in batch.positions]
    assert max(len(batch.tokens) for batch in cut) == max(n_at_once, N_SEQUENCES)
    assert [len(batch.tokens) for batch in cut[-N_SINGLE:]] == [1] * N_SINGLE


def test_logits_error_is_relative_and_of_the_worst_token() -> None:
    truth = np.array([[0, 2], [0, 4]], np.float32)  # standard deviations 1 and 2
    assert logits_error(truth, truth) == 0
    assert logits_error(truth + np.float32(1), truth) == 1
    assert logits_error(np.array([[0, 2], [0, np.nan]], np.float32), truth) == np.inf
    assert logits_error(truth, np.zeros_like(truth)) == np.inf


def test_judge_names_every_comparison_that_is_off() -> None:
    assert judge({"a": 0.0, "b": TOLERANCE}) is None
    reason = judge({"a": 0.0, "b": 2 * TOLERANCE, "c": float("nan"), "d": float("inf")})
    assert reason is not None
    assert all(f"{name}:" in reason for name in "bcd")
    assert "a:" not in reason


def test_a_refusal_is_reported_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(extra_buffers: bool) -> dict[str, float]:
        raise EngineError(f"llama_decode failed ({extra_buffers})")

    monkeypatch.setattr(selftest, "_compare", refuse)
    report = selftest.examine(True)
    assert (report.ok, report.reason, report.errors) == (False, "llama_decode failed (True)", {})


@pytest.mark.parametrize(("mode", "n_comparisons"), [("on", 5), ("off", 3)])
def test_the_child_prints_one_object_and_exits_with_its_verdict(mode: str, n_comparisons: int) -> None:
    command = [sys.executable, "-m", "qwen3vl_edge.runtime.selftest", "--json", "--extra-buffers", mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["extra_buffers"] is (mode == "on")
    assert report["max_error"] == max(report["errors"].values()) < TOLERANCE
    assert len(report["errors"]) == n_comparisons
    assert done.stderr == ""


@pytest.mark.parametrize("extra_buffers", [True, False])
def test_the_fast_kernels_are_tried_exactly_when_asked(quantized: Path, extra_buffers: bool) -> None:
    program = (
        "import sys; from pathlib import Path; import llama_cpp.llama_cpp as native\n"
        "say = native.llama_log_callback(lambda level, text, _: sys.stdout.buffer.write(text))\n"
        "native.llama_log_set(say, None); from qwen3vl_edge.runtime.probe_run import probe_logits\n"
        f"probe_logits(Path(sys.argv[1]), extra_buffers={extra_buffers})"
    )
    command = [sys.executable, "-c", program, str(quantized)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    buffers = set(re.findall(r"(\w+) model buffer size", said))
    assert "CPU_Mapped" in buffers or "CPU" in buffers
    fast = {"CPU_REPACK", "AMX", "CPU_KLEIDIAI"} & buffers
    assert bool(fast) is extra_buffers, buffers
