from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import ContextFullError, EngineError, GGUFError, UsageError
from qwen3vl_edge.prompt import TextPart, VisionPart
from qwen3vl_edge.runtime.engine import Event, Finished, Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY, Sampling
from tests.goldens import GOLDEN, kl_divergence
from tests.prompts import conversations, synthetic_clip, synthetic_picture

WORST_KL = 1e-4


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Iterator[LlamaEngine]:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as opened:
        yield opened


def answer(events: Iterator[Event]) -> tuple[str, list[Generated], Finished]:
    *generated, finished = events
    assert isinstance(finished, Finished)
    tokens = [event for event in generated if isinstance(event, Generated)]
    assert len(tokens) == len(generated) == finished.tokens.generated
    return "".join(event.text for event in tokens), tokens, finished


@pytest.mark.parametrize("model", ["tiny", "demo"])
def test_logits_are_those_of_the_reference(model: str, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue({"tiny": "tiny_bundle", "demo": "demo_f32"}[model])
    golden = np.load(GOLDEN / f"logits-{model}.npz")
    with LlamaEngine(bundle, EngineSettings(n_threads=2)) as engine:
        for name, messages in conversations().items():
            given = engine.next_logits(engine.info.template.parts(messages))
            assert kl_divergence(golden[name], given) < WORST_KL, name
            assert golden[name].argmax() == given.argmax(), name


def test_greedy_answers_and_their_logprobs_agree_with_the_logits(engine: LlamaEngine) -> None:
    parts = engine.info.template.parts(conversations()["192x224"])
    _, tokens, finished = answer(engine.generate(parts, GenerateOptions(GREEDY, 5, n_logprobs=3)))
    logits = engine.next_logits(parts)
    first = tokens[0].logprob
    assert first is not None
    assert first.id == first.top[0].id == int(logits.argmax())
    expected = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    assert [candidate.id for candidate in first.top] == np.argsort(-logits)[:3].tolist()
    assert first.logprob == pytest.approx(expected.max(), abs=1e-3)
    assert finished.stop_reason == "length"
    assert finished.tokens.vision == 42
    assert finished.seconds.encode > 0
    assert finished.seconds.prefill > 0
    assert finished.seconds.decode > 0


def test_an_answer_does_not_depend_on_what_was_asked_before(engine: LlamaEngine) -> None:
    parts = engine.info.template.parts(conversations()["two pictures"])
    before = engine.next_logits(parts)
    answer(
        engine.generate(engine.info.template.parts(conversations()["clip of 12"]), GenerateOptions(GREEDY, 9))
    )
    assert np.array_equal(before, engine.next_logits(parts))


def test_a_seed_makes_sampling_repeatable(engine: LlamaEngine) -> None:
    parts = [TextPart("abc")]
    warm = [Sampling(temperature=1.5, top_p=1, top_k=0, seed=seed) for seed in (7, 7, 8)]
    first, again, other = (answer(engine.generate(parts, GenerateOptions(s, 30)))[0] for s in warm)
    assert first == again != other


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 1.8}, {"presence_penalty": 2.0}])
def test_penalties_keep_an_answer_from_repeating_itself(
    engine: LlamaEngine, penalty: dict[str, float]
) -> None:
    def repeated(settings: Sampling) -> int:
        _, tokens, _ = answer(engine.generate([TextPart("abc")], GenerateOptions(settings, 60, n_logprobs=0)))
        ids = [event.logprob.id for event in tokens if event.logprob]
        return len(ids) - len(set(ids))

    assert repeated(Sampling(temperature=0, **penalty)) < repeated(GREEDY)


def test_the_repetition_penalty_counts_the_prompt(engine: LlamaEngine) -> None:
    def first_id(text: str, settings: Sampling) -> int:
        _, tokens, _ = answer(engine.generate([TextPart(text)], GenerateOptions(settings, 1, n_logprobs=0)))
        assert tokens[0].logprob
        return tokens[0].logprob.id

    printable = "".join(map(chr, range(33, 127)))
    prompts = [printable[turn:] + printable[:turn] for turn in range(40)]
    known = {text: set(engine._bench.model.tokenize(text, parse_special=False)) for text in prompts}
    repeating = [text for text in prompts if first_id(text, GREEDY) in known[text]]
    assert repeating
    strong = Sampling(temperature=0, repetition_penalty=1e6)
    assert [text for text in repeating if first_id(text, strong) in known[text]] == []


def test_min_p_1_leaves_only_the_likeliest(engine: LlamaEngine) -> None:
    loose = Sampling(temperature=5, top_p=1, top_k=0, min_p=1, seed=1)
    assert (
        answer(engine.generate([TextPart("abc")], GenerateOptions(loose, 20)))[0]
        == answer(engine.generate([TextPart("abc")], GenerateOptions(GREEDY, 20)))[0]
    )


def test_an_answer_cannot_go_on_after_another_prompt_was_read(engine: LlamaEngine) -> None:
    first = engine.generate([TextPart("abc")], GenerateOptions(GREEDY, 20))
    next(first)
    next(engine.generate([TextPart("xyz")], GenerateOptions(GREEDY, 20)))
    with pytest.raises(EngineError, match="another prompt"):
        list(first)


def test_a_closed_engine_says_so(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as engine:
        begun = engine.generate([TextPart("abc")], GenerateOptions(GREEDY, 20))
        next(begun)
    with pytest.raises(EngineError, match="closed"):
        list(begun)
    with pytest.raises(EngineError, match="closed"):
        engine.count([TextPart("abc")])


def test_a_context_larger_than_the_model_s_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="a context of 1000000 tokens"):
        LlamaEngine(tiny_bundle, EngineSettings(n_ctx=1_000_000))


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"n_logprobs": -1}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        GenerateOptions(GREEDY, **options)


def test_tokens_are_counted_as_the_prompt_has_them(engine: LlamaEngine) -> None:
    picture, clip = synthetic_picture(1, 64, 96), synthetic_clip(1, 5)
    frames = [VisionPart.of((picture.pixels,)), *(VisionPart.of(pair) for pair in clip.pairs)]
    text, vision = engine.count([*frames, TextPart("<|im_end|>", parse_special=True)])
    assert vision == 6 + 3 * 6
    assert text == 2 * len(frames) + 1


def test_special_tokens_are_parsed_only_where_that_is_wanted(engine: LlamaEngine) -> None:
    assert engine.count([TextPart("<|im_end|>", parse_special=True)]) == (1, 0)
    assert engine.count([TextPart("<|im_end|>")])[0] > 1
    # llama.cpp parses user-defined tokens such as <think> in any case: only cutting helps
    assert engine.count([TextPart("<think>")]) == (1, 0)
    assert engine.count([TextPart("<"), TextPart("think>")])[0] > 1


def test_characters_are_held_back_until_they_are_whole(engine: LlamaEngine) -> None:
    """The tiny vocabulary is bytes: random answers are full of torn characters."""
    options = GenerateOptions(Sampling(temperature=3, top_p=1, top_k=0, seed=3), 300)
    text, tokens, _ = answer(engine.generate([TextPart("é")], options))
    assert "\ufffd" in text  # torn for good: shown as such
    assert any(event.text == "" for event in tokens)
    text.encode()


def test_a_prompt_longer_than_the_context_is_refused(tiny_bundle: Bundle) -> None:
    with (
        LlamaEngine(tiny_bundle, EngineSettings(n_ctx=256, n_threads=2)) as engine,
        pytest.raises(ContextFullError, match="300 tokens .* context 256"),
    ):
        list(engine.generate([TextPart("\n" * 300)], GenerateOptions(GREEDY)))


def test_an_answer_ends_where_the_context_does(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_ctx=256, n_threads=2)) as engine:
        _, _, finished = answer(engine.generate([TextPart("\n" * 250)], GenerateOptions(GREEDY, 100)))
    assert finished.stop_reason == "context"
    assert finished.tokens.generated == 7  # six free cells, and one token that needs none


def test_a_file_that_is_no_model_is_said(tiny_bundle: Bundle, tmp_path: Path) -> None:
    broken = Bundle(tmp_path, tmp_path / "broken.gguf", tiny_bundle.projector, None)
    broken.model.write_bytes(tiny_bundle.model.read_bytes()[:5000])
    with pytest.raises(GGUFError, match=r"broken\.gguf: .* past the end of the file"):
        LlamaEngine(broken)
    swapped = Bundle(tmp_path, tiny_bundle.model, tiny_bundle.model, None)
    with pytest.raises(GGUFError, match=r"clip\.vision"):
        LlamaEngine(swapped)


def test_a_prompt_must_end_in_text(engine: LlamaEngine) -> None:
    with pytest.raises(EngineError, match="must end in text"):
        engine.next_logits([VisionPart.of((synthetic_picture(1, 64, 64).pixels,))])
