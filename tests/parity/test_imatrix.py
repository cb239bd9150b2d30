"""Importance matrices against llama-imatrix and llama-quantize, built by `make peers`."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.quant.calibration.calibrate import CalibrationOptions, Sources, calibrate
from qwen3vl_edge.quant.calibration.default_set import default_text
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.imatrix_files import read_imatrix_entries
from qwen3vl_edge.quant.imatrix_sums import merge_imatrices, write_imatrix
from qwen3vl_edge.quant.quantize import QuantRecipe, plan_quantization
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from tests.tiny_checkpoint import MOE, write_tiny_checkpoint
from tools import peers

pytestmark = pytest.mark.parity
WORST = 1e-3
SETTINGS = EngineSettings(n_threads=2)
N_CHUNKS = 12  # a multiple of four: of others llama-imatrix reads four at once and drops what is left over


def find(name: str) -> Path | str:
    try:
        return peers.find(name)
    except peers.PeersError as error:
        return str(error)


# now: the tests themselves have a cache of their own
PROGRAMS = {name: find(name) for name in ("llama-imatrix", "llama-quantize")}


def peer(name: str, *arguments: str | Path) -> None:
    program = PROGRAMS[name]
    if isinstance(program, str):
        pytest.skip(program)
    done = subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(default_text(), "utf-8")
    return path


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("moe")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", shape=MOE)
    return convert(checkpoint, folder / "bundle", type="f32", projector_type="f32", name="moe")


def ours(bundle: Bundle, text: Path, target: Path, n_chunks: int = N_CHUNKS) -> Path:
    options = CalibrationOptions(n_pieces=n_chunks)
    calibrate(bundle, Sources(text=text), target, options, settings=SETTINGS)
    return target


def theirs(bundle: Bundle, text: Path, target: Path, *options: str) -> Path:
    chunks = ("--chunks", str(N_CHUNKS), "--no-ppl", "-t", "2")
    peer("llama-imatrix", "-m", bundle.model, "-f", text, "-o", target, *chunks, *options)
    return target


@pytest.mark.parametrize("name", ["demo_f32", "moe"])
def test_text_gives_what_llama_imatrix_gives(
    name: str, request: pytest.FixtureRequest, text: Path, tmp_path: Path
) -> None:
    bundle: Bundle = request.getfixturevalue(name)
    found = read_imatrix_entries(ours(bundle, text, tmp_path / "ours.gguf"))
    expected = read_imatrix_entries(theirs(bundle, text, tmp_path / "theirs.gguf"))
    assert found.entries.keys() == expected.entries.keys()
    assert (found.n_chunks, found.chunk_size) == (expected.n_chunks, expected.chunk_size)
    for tensor, entry in expected.entries.items():
        assert (found.entries[tensor].counts == entry.counts).all(), tensor
        np.testing.assert_allclose(found.entries[tensor].sums, entry.sums, rtol=WORST, err_msg=tensor)


def test_llama_imatrix_merges_ours_as_we_do(demo_f32: Bundle, text: Path, tmp_path: Path) -> None:
    made = [ours(demo_f32, text, tmp_path / f"{n}.gguf", n) for n in (1, 3)]
    arguments = [part for path in made for part in ("--in-file", str(path))]
    peer("llama-imatrix", "-m", demo_f32.model, *arguments, "-o", tmp_path / "theirs.gguf")
    write_imatrix(tmp_path / "ours.gguf", merge_imatrices(made))
    found, expected = (read_imatrix_entries(tmp_path / f"{name}.gguf") for name in ("ours", "theirs"))
    assert found.datasets == expected.datasets
    assert found.n_chunks == expected.n_chunks
    for tensor, entry in expected.entries.items():
        assert (found.entries[tensor].counts == entry.counts).all()
        np.testing.assert_allclose(found.entries[tensor].sums, entry.sums, rtol=1e-6)


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ2_XS", "IQ3_XXS"])
def test_llama_quantize_takes_ours_and_gives_the_same_bytes(
    demo_f32: Bundle, tmp_path: Path, kind: str
) -> None:
    """With both halves in one file: the entries of the projector are passed over."""
    matrix = tmp_path / "m.gguf"
    calibrate(demo_f32, Sources(), matrix, CalibrationOptions(n_pieces=7, n_answer=2), settings=SETTINGS)
    peer("llama-quantize", "--imatrix", matrix, demo_f32.model, tmp_path / "theirs.gguf", kind, "2")
    recipe = QuantRecipe(types=(kind,), imatrix=Imatrix.read(matrix))
    plan = plan_quantization(GGUFInfo.read(demo_f32.model), None, recipe)
    run_plan(plan, tmp_path / "ours")
    (written,) = (tmp_path / "ours").glob("*.gguf")
    found, expected = tensors(written), tensors(tmp_path / "theirs.gguf")
    assert found.keys() == expected.keys()
    assert [name for name, tensor in found.items() if tensor != expected[name]] == []


def tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    raw = path.read_bytes()
    return {
        tensor.name: (tensor.type_name, raw[tensor.offset : tensor.offset + tensor.nbytes])
        for tensor in GGUFInfo.read(path).tensors
    }
