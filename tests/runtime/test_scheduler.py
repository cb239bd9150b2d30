"""Many jobs at once give what each gives alone; nothing is left behind."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from llama_cpp import llama_cpp

from qwen3vl_edge.ask import one_question
from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.constraints import from_regex
from qwen3vl_edge.errors import ContextFullError, EngineError, MediaError, UsageError
from qwen3vl_edge.images import Frames, Picture
from qwen3vl_edge.prompt import Part, TextPart, VisionPart
from qwen3vl_edge.runtime.batch import TextPiece
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.engine import Finished, Generated, GenerateOptions, Reasoned
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.sampling import GREEDY, Sampling
from tests.prompts import synthetic_picture
from tools.demo_model.world import held_out_rng, sample_kinds, sample_scene

Result = Completed[int] | Refused[int]


@pytest.fixture(scope="module")
def demo(demo_f32: Bundle) -> Iterator[LlamaEngine]:
    with LlamaEngine(demo_f32, EngineSettings(n_threads=2, n_parallel=32)) as opened:
        yield opened


@pytest.fixture(scope="module")
def tight(tiny_bundle: Bundle) -> Iterator[LlamaEngine]:
    # a random model's likeliest tokens are near each other: F16 cells would turn some of them round
    exact = EngineSettings(n_threads=1, n_ctx=256, kv_type="f32", flash_attention="off")
    with LlamaEngine(tiny_bundle, exact) as opened:
        yield opened


@pytest.fixture(scope="module")
def roomy(tiny_bundle: Bundle) -> Iterator[LlamaEngine]:
    exact = EngineSettings(n_threads=1, n_ctx=4096, kv_type="f32", flash_attention="off")
    with LlamaEngine(tiny_bundle, exact) as opened:
        yield opened


def _world(number: int) -> Picture:
    rng = held_out_rng(number)
    image = sample_scene(rng, sample_kinds(rng, 1)).draw()
    pixels = np.asarray(image.resize((96, 96)).convert("RGB"))
    return Picture(np.ascontiguousarray(pixels), f"world {number}")


def _parts(engine: LlamaEngine, *pictures: Picture, question: str = "Describe this image.") -> Sequence[Part]:
    return engine.info.template.parts(one_question(pictures, question))


def _alone(engine: LlamaEngine, job: Job[int]) -> tuple[str, str, Finished]:
    text = reasoning = ""
    for event in engine.generate(job.parts, job.options):
        match event:
            case Generated(text=piece):
                text += piece
            case Reasoned(text=piece):
                reasoning += piece
            case Finished() as finished:
                return text, reasoning, finished
    raise AssertionError("no end")


def _many(engine: LlamaEngine, jobs: Sequence[Job[int]], n_parallel: int) -> dict[int, Result]:
    found: dict[int, Result] = {}
    for result in engine.generate_many(iter(jobs), n_parallel=n_parallel):
        assert result.key not in found
        found[result.key] = result
    assert found.keys() == {job.key for job in jobs}
    assert engine._bench.pool.n_used == 0
    return found


def _texts(results: dict[int, Result]) -> dict[int, str]:
    return {key: one.text for key, one in results.items() if isinstance(one, Completed)}


def test_greedy_answers_do_not_depend_on_how_many_run_at_once(demo: LlamaEngine) -> None:
    options = GenerateOptions(GREEDY, max_tokens=32)
    jobs = [Job(number, _parts(demo, _world(number)), options) for number in range(40)]
    one = _texts(_many(demo, jobs, 1))
    assert len(set(one.values())) > 10
    assert one == _texts(_many(demo, jobs, 8)) == _texts(_many(demo, jobs, 32))


def test_prompts_about_one_picture_cost_one_encoding_and_one_reading_of_it(demo: LlamaEngine) -> None:
    picture = _world(700)
    questions = ["Describe this image.", "What is this?", "Which colour?", "How many?"]
    jobs = [
        Job(number, _parts(demo, picture, question=question), GenerateOptions(GREEDY, max_tokens=8))
        for number, question in enumerate(questions)
    ]
    steps: list[Step[int]] = []
    results = list(demo.generate_many(iter(jobs), n_parallel=4, watch=steps.append))
    assert len([step for step in steps if step.kind == "encode"]) == 1
    reused = {one.key: one.finished.tokens.reused for one in results if isinstance(one, Completed)}
    assert len(reused) == 4
    n_picture = (96 // 32) ** 2
    assert sorted(reused.values())[0] == 0
    assert all(count > n_picture for count in sorted(reused.values())[1:])


def _random_job(number: int, dice: random.Random, engine: LlamaEngine) -> Job[int]:
    pictures = [
        synthetic_picture(*dice.choice([(1, 64, 64), (2, 96, 64), (3, 64, 128)]))
        for _ in range(dice.randint(0, 2))
    ]
    options = GenerateOptions(
        dice.choice([GREEDY, replace(GREEDY, repetition_penalty=1.2), Sampling(seed=number)]),
        max_tokens=dice.choice([1, 2, 9, 30, 60]),
        stop=dice.choice([(), ("e",), ("zq", "a")]),
        constraint=dice.choice([None, None, from_regex("[a-c]{3,9}x")]),
        min_tokens=dice.choice([0, 1]),
        ignore_end=dice.random() < 0.3,
    )
    question = " ".join(
        dice.choices(["what", "is", "this", "éü", "<|im_end|>"], k=dice.choice([1, 3, 10, 30, 60, 200]))
    )
    if dice.random() < 0.1:
        return Job(number, [TextPart(question)], replace(options, n_logprobs=1))
    return Job(number, _parts(engine, *pictures, question=question), options)


@pytest.mark.parametrize("seed", range(6))
def test_any_course_gives_what_each_job_gives_alone(tight: LlamaEngine, seed: int) -> None:
    """256 cells, jobs of up to 200 and more: they wait for each other, and some never fit."""
    _check_course(tight, random.Random(seed), 12)


@pytest.mark.parametrize("seed", range(6, 9))
def test_any_course_with_cells_apart_gives_what_each_job_gives_alone(roomy: LlamaEngine, seed: int) -> None:
    """First with 256 cells for each job; for longer ones with 512, or sharing."""
    _check_course(roomy, random.Random(seed), 7)


def _check_course(engine: LlamaEngine, dice: random.Random, most: int) -> None:
    jobs = [_random_job(number, dice, engine) for number in range(24)]
    results = _many(engine, jobs, dice.choice([2, 5, most]))
    for job in jobs:
        result = results[job.key]
        if job.options.n_logprobs is not None:
            assert isinstance(result, Refused)
            assert isinstance(result.error, UsageError)
            continue
        try:
            text, reasoning, finished = _alone(engine, job)
        except ContextFullError:
            assert isinstance(result, Refused)
            assert isinstance(result.error, ContextFullError)
            continue
        assert isinstance(result, Completed)
        assert (result.text, result.reasoning) == (text, reasoning)
        assert result.finished.stop_reason == finished.stop_reason
        assert replace(result.finished.tokens, reused=0) == replace(finished.tokens, reused=0)


def test_longer_jobs_have_the_cells_divided_anew_or_shared(
    roomy: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    divisions: list[tuple[int, int]] = []
    open_context = Context._open

    def noted(self: Context, n_ctx: int) -> object:
        divisions.append((self._options.n_sequences if self._options.apart else 0, n_ctx))
        return open_context(self, n_ctx)

    monkeypatch.setattr(Context, "_open", noted)
    options = GenerateOptions(GREEDY, max_tokens=4)
    lengths = [10, 20, 280, 30, 900, 10]
    jobs = [Job(n, [TextPart(" a" * length)], options) for n, length in enumerate(lengths)]
    many = _texts(_many(roomy, jobs, 3))
    assert divisions[:2] == [(3, 3 * 256), (3, 3 * 512)]
    assert [n_apart for n_apart, _ in divisions[2:]] == [0]
    assert many == {job.key: _alone(roomy, job)[0] for job in jobs}


def test_cells_are_apart_only_where_nobody_else_holds_some(demo: LlamaEngine) -> None:
    bench = demo._bench
    job = Job(1, _parts(demo, _world(1)), GenerateOptions(GREEDY, max_tokens=8))
    text = _alone(demo, job)[0]
    session = demo.open_session()
    assert bench.take_apart(4, 300) == []
    assert _texts(_many(demo, [job, replace(job, key=2)], 2)) == {1: text, 2: text}
    assert bench.n_each == bench.limit
    session.close()
    assert bench.take_apart(4, bench.limit // 7) == []
    taken = bench.take_apart(4, 300)
    assert (taken, bench.n_each) == ([0, 1, 2, 3], 512)
    context = bench.context(0)
    assert (context.n_ctx, llama_cpp.llama_n_ctx_seq(context.handle)) == (4 * 512, 512)
    with pytest.raises(EngineError, match="under way"):
        demo.open_session()
    for number in taken:
        bench.give_back(number)
    assert _alone(demo, job)[0] == text
    assert bench.n_each == bench.limit


def test_what_cannot_be_decoded_is_refused_and_the_others_go_on(demo: LlamaEngine) -> None:
    def broken() -> Frames:
        raise MediaError("no frame")

    good = Job(1, _parts(demo, _world(1)), GenerateOptions(GREEDY, max_tokens=8))
    vision = VisionPart(96, 96, b"nowhere seen", broken)
    bad = Job(2, [TextPart("<|im_start|>", parse_special=True), vision, TextPart("?")], good.options)
    results = _many(demo, [good, bad, replace(good, key=3)], 3)
    assert isinstance(results[2], Refused)
    assert isinstance(results[2].error, MediaError)
    assert _texts(results) == {1: _alone(demo, good)[0], 3: _alone(demo, good)[0]}


def test_jobs_that_are_not_ready_yet_hold_up_nobody(demo: LlamaEngine) -> None:
    options = GenerateOptions(GREEDY, max_tokens=8)
    jobs = [
        None,
        None,
        Job(1, _parts(demo, _world(1)), options),
        None,
        Job(2, _parts(demo, _world(2)), options),
    ]
    assert {one.key for one in demo.generate_many(iter(jobs), n_parallel=4)} == {1, 2}


def test_a_cancel_ends_what_runs_and_takes_nothing_more(demo: LlamaEngine) -> None:
    options = GenerateOptions(GREEDY, max_tokens=400, ignore_end=True, loop_guard=False)
    jobs = (Job(number, _parts(demo, _world(number)), options) for number in range(1000))
    n_decoded = 0

    def watch(step: Step[int]) -> None:
        nonlocal n_decoded
        n_decoded += step.kind == "decode"
        if n_decoded == 5:
            demo.cancel()

    results = list(demo.generate_many(jobs, n_parallel=4, watch=watch))
    assert [one.key for one in results] == [0, 1, 2, 3]
    assert all(isinstance(one, Completed) and one.finished.stop_reason == "cancelled" for one in results)
    assert all(isinstance(one, Completed) and one.text for one in results)
    assert demo._bench.pool.n_used == 0
    assert _texts(_many(demo, [Job(1, _parts(demo, _world(1)), replace(options, max_tokens=3))], 1))


def test_left_early_everything_is_given_back(demo: LlamaEngine) -> None:
    jobs = [Job(number, _parts(demo, _world(number)), GenerateOptions(GREEDY)) for number in range(8)]
    n_free = demo._bench.n_sequences_free()
    results = demo.generate_many(iter(jobs), n_parallel=3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert (demo._bench.pool.n_used, demo._bench.n_sequences_free()) == (0, n_free)


def test_more_at_once_than_there_are_sequences_is_an_error(tight: LlamaEngine) -> None:
    jobs = [Job(n, [TextPart("a")], GenerateOptions(GREEDY, max_tokens=2)) for n in range(40)]
    with pytest.raises(EngineError, match="at once"):
        list(tight.generate_many(iter(jobs), n_parallel=40))
    assert tight._bench.pool.n_used == 0


def test_tokens_that_end_an_answer_come_no_sooner_than_asked(demo: LlamaEngine) -> None:
    parts = _parts(demo, _world(3))
    plain = _alone(demo, Job(0, parts, GenerateOptions(GREEDY, max_tokens=60)))[2]
    assert plain.stop_reason == "stop"
    n_plain = plain.tokens.generated
    longer = GenerateOptions(GREEDY, max_tokens=60, min_tokens=n_plain + 5, loop_guard=False)
    assert _alone(demo, Job(0, parts, longer))[2].tokens.generated > n_plain + 5
    endless = GenerateOptions(GREEDY, max_tokens=60, ignore_end=True, loop_guard=False)
    text, _, finished = _alone(demo, Job(0, parts, endless))
    assert (finished.stop_reason, finished.tokens.generated) == ("length", 60)
    assert "<|im_end|>" not in text


def test_many_jobs_leave_memory_as_it_was(tight: LlamaEngine) -> None:
    n_free = tight._bench.n_sequences_free()
    options = GenerateOptions(GREEDY, max_tokens=5)
    jobs = (Job(number, [TextPart(f"{number} is a number")], options) for number in range(300))
    assert sum(1 for _ in tight.generate_many(jobs, n_parallel=8)) == 300
    assert (tight._bench.pool.n_used, tight._bench.n_sequences_free()) == (0, n_free)
    assert tight._bench.context(0).last_position(0) == -1


def test_the_number_at_once_is_bounded_by_cells(tight: LlamaEngine, demo: LlamaEngine) -> None:
    job = Job(0, [TextPart("a b c")], GenerateOptions(GREEDY, max_tokens=200))
    assert tight.choose_parallel(job) == 1
    assert 1 <= demo.choose_parallel(job) <= 32
    assert (demo._bench.pool.n_used, demo._bench.n_sequences_free()) == (0, 33)


def test_a_picture_s_encoding_counts_and_its_trial_leaves_nothing(demo: LlamaEngine) -> None:
    bench = demo._bench
    before = bench.pool.n_used, bench.n_sequences_free(), len(bench._cache._kept)
    job = Job(0, _parts(demo, _world(5)), GenerateOptions(GREEDY, max_tokens=64))
    assert 1 <= demo.choose_parallel(job) <= 32
    assert (bench.pool.n_used, bench.n_sequences_free(), len(bench._cache._kept)) == before
    assert {bench.context(0).last_position(number) for number in range(32)} == {-1}


def test_never_more_at_once_than_the_engine_was_opened_for(demo_f32: Bundle) -> None:
    job = Job(0, [TextPart("a b c")], GenerateOptions(GREEDY, max_tokens=20))
    with LlamaEngine(demo_f32, EngineSettings(n_threads=1, n_parallel=3)) as engine:
        assert engine.choose_parallel(job) <= 3


def test_a_context_that_cannot_grow_and_is_lost_is_an_error_and_no_crash(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(_: Context, _n_ctx: int) -> object:
        raise EngineError("failed to allocate memory")

    options = GenerateOptions(GREEDY, max_tokens=400, ignore_end=True, loop_guard=False)
    jobs = [Job(number, [TextPart(f"{number} is a number")], options) for number in range(3)]
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=1)) as engine:
        engine.open_session()  # beside it cells are shared, and there are as many as have been needed
        results = engine.generate_many(iter(jobs), n_parallel=3, watch=_at_decoding(monkeypatch, no_memory))
        with pytest.raises(EngineError, match="memory"):
            list(results)
        with pytest.raises(EngineError, match="closed"):
            engine.generate_many(iter(jobs), n_parallel=3)


def _at_decoding(
    monkeypatch: pytest.MonkeyPatch, instead: Callable[[Context, int], object]
) -> Callable[[Step[int]], None]:
    """From the first round of decoding on, no context can be opened."""

    def watch(step: Step[int]) -> None:
        if step.kind == "decode":
            monkeypatch.setattr(Context, "_open", instead)

    return watch


def test_what_came_in_a_round_that_fails_comes_before_the_error(
    tight: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Context, _pieces: Sequence[TextPiece]) -> None:
        raise EngineError("broken")

    options = GenerateOptions(GREEDY, max_tokens=5)
    jobs = [Job(1, [TextPart("a")], replace(options, n_logprobs=1)), Job(2, [TextPart("b")], options)]
    monkeypatch.setattr(Context, "read_text", fail)
    results = tight.generate_many(iter(jobs), n_parallel=2)
    first = next(results)
    assert (first.key, type(first)) == (1, Refused)
    with pytest.raises(EngineError, match="broken"):
        next(results)
    assert tight._bench.pool.n_used == 0


def test_a_job_whose_cells_a_session_takes_meanwhile_is_refused(tight: LlamaEngine) -> None:
    options = GenerateOptions(GREEDY, max_tokens=200, ignore_end=True, loop_guard=False)
    jobs = [Job(number, [TextPart(f"{number} a")], options) for number in range(2)]
    results = tight.generate_many(iter(jobs), n_parallel=2)
    assert isinstance(next(results), Completed)
    session = tight.open_session()
    session.next_logits([TextPart("b " * 60)])
    second = next(results)
    assert isinstance(second, Refused)
    assert isinstance(second.error, ContextFullError)
    assert list(results) == []
    session.close()
    assert tight._bench.pool.n_used == 0


def test_a_crash_over_a_prompt_s_text_is_known_by_its_job(
    tight: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Step[int]] = []
    blamed: dict[str, int] = {}
    prompt = tight._bench.tokenizer.prompt

    def tokenized(parts: Sequence[Part]) -> TokenizedPrompt:
        blamed[str(parts[0])] = steps[-1].keys[0]
        return prompt(parts)

    monkeypatch.setattr(tight._bench.tokenizer, "prompt", tokenized)
    options = GenerateOptions(GREEDY, max_tokens=3)
    jobs = [Job(number, [TextPart(f"{number}")], options) for number in range(5)]
    assert len(list(tight.generate_many(iter(jobs), n_parallel=2, watch=steps.append))) == 5
    assert blamed == {str(job.parts[0]): job.key for job in jobs}
