"""The estimate against what llama.cpp says in its log; its figures there have two decimals of MiB."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters.plan import Recipe, plan_conversion
from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.runtime.kv_types import KV_TYPES, check_kv_type, needs_flash_attention
from qwen3vl_edge.runtime.memory_estimate import (
    MemoryEstimate,
    estimate,
    fits,
    kv_bytes_per_token,
    largest_context,
)
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.projector import Projector
from tests.true_shapes import write_hollow

MIB = 1 << 20
N_CTX = (1, 300, 1024, 4096)


@dataclass(frozen=True)
class Pair:
    """A pair of files, and the model opened by llama.cpp."""

    model: GGUFInfo
    projector: GGUFInfo
    handle: int


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], float]]:
    """Give the sum of the MiB that llama.cpp has said of something since the last look."""

    def look(what: str) -> float:
        found = re.findall(rf"{what} *[=:] +([\d.]+) MiB", caplog.text)
        caplog.clear()
        assert found, what
        return sum(map(float, found))

    with caplog.at_level(logging.DEBUG, "qwen3vl_edge.native"):
        yield look


def opened(bundle: tuple[Path, Path], *, no_alloc: bool) -> Iterator[Pair]:
    llama = library().llama
    parameters = llama.llama_model_default_params()
    parameters.no_alloc, parameters.load_mode = no_alloc, 0 if no_alloc else parameters.load_mode
    parameters.use_extra_bufts = False
    handle = llama.llama_model_load_from_file(os.fsencode(bundle[0]), parameters)
    assert handle
    yield Pair(GGUFInfo.read(bundle[0]), GGUFInfo.read(bundle[1]), handle)
    llama.llama_model_free(handle)


@pytest.fixture(scope="module")
def demo(demo_f32: Bundle) -> Iterator[Pair]:
    yield from opened((demo_f32.model, demo_f32.projector), no_alloc=False)


@pytest.fixture(scope="module")
def true_2b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The 2B in its true size, its weights holes; llama.cpp plans all its buffers and makes none."""
    folder = tmp_path_factory.mktemp("2b")
    plan = plan_conversion(write_hollow("2B", folder), Recipe(("q4_k_m",), "f16", "2B"))
    for file in plan.files:
        with (folder / file.name).open("wb") as out:
            out.write(file.header)
            out.truncate(file.n_bytes)
    yield from opened((folder / plan.files[0].name, folder / plan.files[1].name), no_alloc=True)


def make_context(pair: Pair, wanted: MemoryEstimate, *, n_outputs: int | None = None) -> None:
    llama, work = library().llama, wanted.workload
    parameters = llama.llama_context_default_params()
    parameters.n_ctx, parameters.kv_unified, parameters.n_seq_max = work.n_ctx, True, work.n_seq_max
    parameters.n_batch = parameters.n_ubatch = work.n_batch
    parameters.type_k = parameters.type_v = work.kv_type.id
    parameters.n_outputs_max = n_outputs or 0
    parameters.flash_attn_type = -1 if work.flash_attention else 0  # auto, off
    context = llama.llama_init_from_model(pair.handle, parameters)
    assert context
    llama.llama_free(context)


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_kv_cells_take_what_llama_cpp_says(demo: Pair, said: Callable[[str], float], kv_type: str) -> None:
    for n_ctx in N_CTX:
        wanted = estimate(demo.model, demo.projector, n_ctx=n_ctx, kv_type=kv_type)
        make_context(demo, wanted)
        assert said("KV buffer size") == round(wanted.kv_bytes / MIB, 2)
        assert wanted.kv_bytes == wanted.workload.n_cells * kv_bytes_per_token(demo.model, kv_type)


@pytest.mark.parametrize("kv_type", ["F16", "q8_0", "q4_0"])
@pytest.mark.parametrize("n_ctx", [4096, 262_144])
def test_kv_cells_of_the_true_2b(
    true_2b: Pair, said: Callable[[str], float], kv_type: str, n_ctx: int
) -> None:
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=n_ctx, kv_type=kv_type)
    make_context(true_2b, wanted)
    assert said(r"llama_kv_cache: size") == round(wanted.kv_bytes / MIB, 2)


@pytest.mark.parametrize("n_ctx", [256, 4096, 32_768, 262_144])
@pytest.mark.parametrize(("n_outputs", "most"), [(None, 1.15), (16, 1.02), (1, 1.02)], ids=["all", "16", "1"])
def test_compute_buffers_of_the_true_2b(
    true_2b: Pair, said: Callable[[str], float], n_ctx: int, n_outputs: int | None, most: float
) -> None:
    wanted = estimate(
        true_2b.model, true_2b.projector, n_ctx=n_ctx, n_seq_max=n_outputs or 1, n_outputs=n_outputs
    )
    make_context(true_2b, wanted, n_outputs=n_outputs)
    reserved = said("(?:compute|output) buffer size")
    assert 1 <= wanted.text.compute_bytes(wanted.workload) / MIB / reserved < most


@pytest.mark.parametrize("n_ctx", [256, 4096, 32_768])
def test_without_flash_attention_all_scores_are_counted(
    true_2b: Pair, said: Callable[[str], float], n_ctx: int
) -> None:
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=n_ctx, flash_attention=False)
    make_context(true_2b, wanted)
    reserved = said("(?:compute|output) buffer size")
    assert 0.95 < wanted.text.compute_bytes(wanted.workload) / MIB / reserved < 1.04


@pytest.mark.parametrize(
    ("key", "value"),
    [("attention.head_count", 0), ("block_count", -1), ("embedding_length", None)],
)
def test_impossible_sizes_are_said(demo: Pair, key: str, value: int | None) -> None:
    name = f"qwen3vl.{key}"
    damaged = {known: stored for known, stored in demo.model.metadata.items() if known != name}
    if value is not None:
        damaged[name] = value
    with pytest.raises(GGUFError, match=name):
        estimate(replace(demo.model, metadata=damaged), demo.projector, n_ctx=256)


def test_a_model_without_a_vocabulary_is_said(demo: Pair) -> None:
    with pytest.raises(GGUFError, match="has no token_embd.weight"):
        estimate(replace(demo.model, tensors=()), demo.projector, n_ctx=256)


@pytest.mark.parametrize("n_ctx", N_CTX)
def test_compute_buffers_of_the_demo_model(demo: Pair, said: Callable[[str], float], n_ctx: int) -> None:
    wanted = estimate(demo.model, demo.projector, n_ctx=n_ctx)
    make_context(demo, wanted)
    difference = wanted.text.compute_bytes(wanted.workload) / MIB - said("(?:compute|output) buffer size")
    assert -0.1 < difference < 1


@pytest.mark.parametrize("n_frames", [1, 2])
def test_the_encoder_of_the_true_2b(true_2b: Pair, said: Callable[[str], float], n_frames: int) -> None:
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=256, n_vision_tokens=6)
    text = TextModel(true_2b.model.path, extra_buffers=False)
    encoder = Projector(true_2b.projector.path, text, n_threads=2)
    try:
        assert said("model size") == round(wanted.projector_bytes / MIB, 2)
        with encoder.cut([np.zeros((64, 96, 3), np.uint8)] * n_frames) as chunk:
            encoder.encode(chunk)
        reserved = said("compute buffer size")
    finally:
        encoder.close()
        text.close()
    assert 1 <= wanted.vision.compute_bytes(wanted.workload.n_vision_tokens) / MIB / reserved < 1.33


def test_weights_are_what_llama_cpp_maps(demo_f32: Bundle, said: Callable[[str], float]) -> None:
    model, projector = GGUFInfo.read(demo_f32.model), GGUFInfo.read(demo_f32.projector)
    TextModel(demo_f32.model, extra_buffers=False).close()
    mapped = said("model buffer size")
    assert estimate(model, projector, n_ctx=256).weights_bytes / MIB == pytest.approx(mapped, rel=0.001)


def test_larger_pictures_and_more_sequences_take_more(true_2b: Pair) -> None:
    def compute(n_vision_tokens: int, n_seq_max: int) -> int:
        return estimate(
            true_2b.model,
            true_2b.projector,
            n_ctx=4096,
            n_seq_max=n_seq_max,
            n_vision_tokens=n_vision_tokens,
        ).compute_bytes

    assert compute(4096, 1) - compute(2048, 1) == 2 * (compute(2048, 1) - compute(1024, 1)) > 0
    assert compute(1024, 16) - compute(1024, 1) == 15 * 151_936 * 4  # logits


def test_what_fits_is_not_spoken_of(true_2b: Pair) -> None:
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=8192)
    assert fits(wanted, wanted.total_bytes) is None
    assert fits(wanted, None) is None
    assert fits(wanted, wanted.total_bytes - 1) is not None


@pytest.mark.parametrize("gigabytes", [4, 8, 12, 16, 23.1, 32])
def test_the_remedies_do_fit(true_2b: Pair, gigabytes: float) -> None:
    available = int(gigabytes * 1e9)
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=262_144)
    reason = fits(wanted, available)
    assert reason is not None
    assert reason.startswith(
        f"a context of 262144 tokens needs 32.7 GB with the model, {gigabytes:.1f} GB are available; --ctx "
    )
    found = re.search(r"--ctx (\d+)", reason)
    assert found
    n_ctx = int(found[1])
    assert n_ctx % 256 == 0
    assert fits(estimate(true_2b.model, true_2b.projector, n_ctx=n_ctx), available) is None
    assert fits(estimate(true_2b.model, true_2b.projector, n_ctx=n_ctx + 1), available) is not None
    assert largest_context(estimate(true_2b.model, true_2b.projector, n_ctx=1), available) == n_ctx
    kv_type = re.search(r"--kv-type (\w+)", reason)
    whole = [
        name
        for name in KV_TYPES
        if not fits(estimate(true_2b.model, true_2b.projector, n_ctx=262_144, kv_type=name), available)
    ]
    assert (kv_type[1] if kv_type else None) == (whole[0] if whole else None)


def test_a_model_too_large_for_any_context_is_said(true_2b: Pair) -> None:
    wanted = estimate(true_2b.model, true_2b.projector, n_ctx=8192)
    reason = fits(wanted, 2 * 10**9)
    assert reason is not None
    assert re.match(r"the model needs 2\.\d GB even with a context of 256 tokens, 2.0 GB are avail", reason)
    assert largest_context(wanted, 2 * 10**9) == 0


def test_experts_are_counted(true_2b: Pair) -> None:
    """Of 30B-A3B llama.cpp 0c1e57098 reserves 112.52 MiB for 512 tokens with one output in 4096 cells."""
    sizes = estimate(true_2b.model, true_2b.projector, n_ctx=4096, n_outputs=1)
    moe = replace(
        sizes.text, n_layers=48, q=4096, kv=512, ff=768, n_experts=128, n_experts_used=8, n_vocab=151_936
    )
    buffer = moe.compute_bytes(sizes.workload) - 151_936 * 4
    assert buffer / MIB == pytest.approx(112.52, abs=0.2)


@pytest.mark.parametrize("name", ["q6_k", "", "f16 ", "Q8_1", "x" * 500])
def test_unknown_kv_types_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl$") as refused:
        check_kv_type(name, 128)
    assert len(str(refused.value)) < 250


def test_kv_types_must_fit_the_heads(demo: Pair) -> None:
    with pytest.raises(UsageError, match="32 values, which heads of 80 do not fill; .* f32, f16, bf16$"):
        check_kv_type("Q8_0", 80)
    assert check_kv_type("bf16", 80).name == "BF16"


def test_quantized_cells_need_flash_attention() -> None:
    needing = [name for name, kind in KV_TYPES.items() if needs_flash_attention(kind)]
    assert needing == ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
