from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import ContextFullError, EngineError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.messages import Message
from qwen3vl_edge.quant.calibration.collect import weights_of
from qwen3vl_edge.quant.gguf_source import GGUFSource
from qwen3vl_edge.runtime.activation_reader import ActivationReader
from qwen3vl_edge.runtime.activations import ActivationSums, Collector, SumsByName, _of_experts, _of_matrix
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.native import Cancelled, library, runs_callback
from tests.prompts import synthetic_clip, synthetic_picture
from tests.tiny_checkpoint import MOE, write_tiny_checkpoint

SETTINGS = EngineSettings(n_ctx=512, n_threads=2, n_outputs=64, cache_ram_bytes=0)
TOKENS = list(range(5, 45))


class Opened:
    """An engine whose computations `collector` sees."""

    def __init__(self, bundle: Bundle, *, in_place: bool = True, process_output: bool = True) -> None:
        self.collector = Collector(weights_of(bundle, process_output=process_output), in_place=in_place)
        self.engine = LlamaEngine(bundle, SETTINGS, observer=self.collector)
        self.reader = self.engine.open_activation_reader()

    def chunk(self) -> SumsByName:
        self.reader.read_chunk(TOKENS)
        return self.collector.collected()

    def prompt(self, n_answer: int = 3) -> tuple[int, SumsByName]:
        message = Message("user", (synthetic_picture(1, 96, 128), "What is it?"))
        n_tokens = self.reader.read_prompt(self.engine.info.template.parts([message]), n_answer)
        return n_tokens, self.collector.collected()


@pytest.fixture(scope="module")
def tiny(tiny_bundle: Bundle) -> Iterator[Opened]:
    opened = Opened(tiny_bundle)
    with opened.engine:
        yield opened


def values(bundle: Bundle, name: str) -> NDArray[np.float64]:
    tensor = next(tensor for tensor in GGUFInfo.read(bundle.model).tensors if tensor.name == name)
    return GGUFSource(tensor).read(0, tensor.shape[0]).astype(np.float64)


def test_the_first_matrix_meets_the_normalized_embeddings(tiny: Opened, tiny_bundle: Bundle) -> None:
    """What the first layer's attention is given can be computed without llama.cpp."""
    info = GGUFInfo.read(tiny_bundle.model)
    epsilon = info.number(f"{info.architecture}.attention.layer_norm_rms_epsilon")
    rows = values(tiny_bundle, "token_embd.weight")[TOKENS]
    norm = np.sqrt(np.square(rows).mean(1, keepdims=True) + epsilon)
    expected = np.square(rows / norm * values(tiny_bundle, "blk.0.attn_norm.weight")).sum(0)
    collected = tiny.chunk()
    for name in ("attn_q", "attn_k", "attn_v"):
        entry = collected[f"blk.0.{name}.weight"]
        assert entry.counts.tolist() == [len(TOKENS)]
        np.testing.assert_allclose(entry.sums[0], expected, rtol=1e-5)


def test_both_halves_are_seen_but_for_what_is_no_product(tiny: Opened, tiny_bundle: Bundle) -> None:
    n_tokens, collected = tiny.prompt()
    unseen = weights_of(tiny_bundle, process_output=True) - collected.keys()
    assert unseen == {"v.patch_embd.weight", "v.patch_embd.weight.1", "v.position_embd.weight"} & unseen
    counts = {name: int(entry.counts[0]) for name, entry in collected.items()}
    n_vision = 3 * 4
    assert counts["blk.0.attn_q.weight"] == n_tokens
    assert counts["v.blk.0.attn_qkv.weight"] == 4 * n_vision
    assert counts["mm.0.weight"] == n_vision
    last = max(int(name.split(".")[1]) for name in counts if name.startswith("blk."))
    # nobody asks what comes after half a picture: there, the last layer ends early
    assert counts[f"blk.{last}.ffn_down.weight"] == n_tokens - n_vision
    assert counts[f"blk.{last}.attn_k.weight"] == n_tokens


def test_answers_are_read_on(tiny: Opened) -> None:
    without, _ = tiny.prompt(0)
    with_answer, collected = tiny.prompt(5)
    assert without < with_answer <= without + 5
    assert collected["blk.0.attn_q.weight"].counts[0] == with_answer


def test_copied_activations_are_the_same(tiny: Opened, tiny_bundle: Bundle) -> None:
    """The way that a GPU's memory is read gives, on the CPU, the same to the last bit."""
    copying = Opened(tiny_bundle, in_place=False)
    with copying.engine:
        for here, there in ((tiny.chunk(), copying.chunk()), (tiny.prompt()[1], copying.prompt()[1])):
            assert here.keys() == there.keys()
            for name, entry in here.items():
                assert (entry.counts == there[name].counts).all()
                assert (entry.sums == there[name].sums).all(), name


def test_clips_are_seen(tiny: Opened) -> None:
    message = Message("user", (synthetic_clip(1, 4), "When?"))
    n_tokens = tiny.reader.read_prompt(tiny.engine.info.template.parts([message]), 0)
    collected = tiny.collector.collected()
    assert collected["mm.0.weight"].counts.tolist() == [2 * 2 * 3]
    assert collected["blk.0.attn_q.weight"].counts.tolist() == [n_tokens]


def test_experts_are_counted_apart(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "Moe", shape=MOE)
    bundle = convert(checkpoint, tmp_path / "moe", type="f32", projector_type="f32", name="moe")
    opened = Opened(bundle)
    with opened.engine:
        collected = opened.chunk()
    info = GGUFInfo.read(bundle.model)
    n_used = info.integer(f"{info.architecture}.expert_used_count")
    up, gate, down = (collected[f"blk.0.ffn_{part}_exps.weight"] for part in ("up", "gate", "down"))
    router = collected["blk.0.ffn_gate_inp.weight"]
    assert up.sums.shape[0] == MOE.n_experts
    assert (up.counts == gate.counts).all()
    assert (up.counts == down.counts).all()
    assert up.counts.sum() == n_used * len(TOKENS)
    # every token's row goes to the router once, and to each of its experts
    np.testing.assert_allclose(up.sums.sum(0), n_used * router.sums[0], rtol=1e-5)
    assert (up.sums == gate.sums).all()
    assert not up.sums[up.counts == 0].any()


@pytest.mark.parametrize("rows_a_token", [1, 3])
def test_sums_of_experts(rows_a_token: int) -> None:
    rng = np.random.default_rng(rows_a_token)
    rows = rng.normal(size=(1, 700, rows_a_token, 24)).astype(np.float32)
    chosen = rng.integers(0, 7, (1, 1, 700, 3)).astype(np.int32)
    expected = ActivationSums.zero(8, 24)
    for token in range(700):
        for index, expert in enumerate(chosen[0, 0, token]):
            expected.counts[expert] += 1
            expected.sums[expert] += np.square(rows[0, token, index % rows_a_token].astype(np.float64))
    found = _of_experts(rows, chosen, n_experts=8)
    assert (found.counts == expected.counts).all()
    assert found.counts[7] == 0
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-5)


def test_sums_of_strided_rows() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 40, 3, 1300)).astype(np.float32).transpose(0, 2, 3, 1)
    found = _of_matrix(rows)
    assert found.counts.tolist() == [2 * 3 * 1300]
    np.testing.assert_allclose(found.sums[0], np.square(rows.astype(np.float64)).sum((0, 1, 2)), rtol=1e-5)


def test_only_what_is_wanted_is_collected(tiny_bundle: Bundle) -> None:
    opened = Opened(tiny_bundle, process_output=False)
    with opened.engine:
        assert "token_embd.weight" not in opened.chunk()


def test_a_cancelled_encoding_is_no_result(tiny: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches the encoder, it can still be stopped."""
    taken = 0
    take = Collector.take

    def take_and_cancel(self: Collector, node: int) -> None:
        nonlocal taken
        taken += 1
        take(self, node)
        library().cancel()

    with monkeypatch.context() as patch:
        patch.setattr(Collector, "take", take_and_cancel)
        with pytest.raises(Cancelled):
            tiny.prompt()
    assert taken == 1
    library().go_on()
    tiny.collector.collected()
    assert tiny.prompt()[0] > 0


def test_ctrl_c_is_put_off_while_nodes_are_looked_at(tiny: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415

    inside: list[bool] = []
    take = Collector.take

    def look(self: Collector, node: int) -> None:
        inside.append(runs_callback(sys._getframe()))
        take(self, node)

    monkeypatch.setattr(Collector, "take", look)
    tiny.chunk()
    assert inside
    assert all(inside)
    assert not runs_callback(sys._getframe())


def test_activations_that_are_no_numbers_are_an_error(tiny: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "qwen3vl_edge.runtime.activations._of_matrix",
            lambda rows: ActivationSums(np.full((1, rows.shape[-1]), np.nan), np.ones(1, np.int64)),
        )
        tiny.reader.read_chunk(TOKENS)
        with pytest.raises(EngineError, match=r"attn_q.weight is multiplied with is NaN or infinite"):
            tiny.collector.collected()
    assert tiny.chunk()  # and it goes on


def test_a_prompt_beyond_the_context_is_an_error(tiny: Opened) -> None:
    with pytest.raises(ContextFullError, match="takes 513 tokens and the context 512"):
        tiny.reader.read_chunk([1] * 513)


def test_a_closed_reader_gives_its_sequence_back(tiny: Opened) -> None:
    readers = [tiny.engine.open_activation_reader() for _ in range(15)]
    with pytest.raises(EngineError, match="sessions are open at once"):
        tiny.engine.open_activation_reader()
    for reader in readers:
        assert isinstance(reader, ActivationReader)
        reader.close()
    tiny.engine.open_activation_reader().close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_raised_while_nodes_are_looked_at_is_not_lost(
    tiny: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: NDArray[np.float32]) -> ActivationSums:
        raise ArithmeticError

    with monkeypatch.context() as patch:
        patch.setattr("qwen3vl_edge.runtime.activations._of_matrix", fail)
        tiny.reader.read_chunk(TOKENS)
        with pytest.raises(EngineError, match="the activations could not be read"):
            tiny.collector.collected()
    assert tiny.chunk()
