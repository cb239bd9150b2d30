"""How an answer ends, and how reasoning is told from it: the tiny model, made to say what is needed."""

import re
from collections.abc import Iterator, Sequence

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.constraints import from_file_or_short, from_grammar
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import Finished, Generated, GenerateOptions, Reasoned
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY, Sampling

THINKING = (
    TextPart("<|im_start|>", parse_special=True),
    TextPart("assistant\n"),
    TextPart("<think>", parse_special=True),
    TextPart("\n"),
)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Bundle) -> Iterator[LlamaEngine]:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as opened:
        yield opened


def run(engine: LlamaEngine, parts: Sequence[Part], options: GenerateOptions) -> tuple[str, str, Finished]:
    reasoning, answer, finished = "", "", None
    for event in engine.generate(parts, options):
        match event:
            case Reasoned(text=text):
                assert not answer
                reasoning += text
            case Generated(text=text):
                answer += text
            case Finished():
                finished = event
    assert finished is not None
    return reasoning, answer, finished


def noise(engine: LlamaEngine) -> Sampling:
    """Anything but the ends of reasoning and answer."""
    marks = ("</think>", "<|im_end|>", "<|endoftext|>")
    ids = [engine._bench.model.tokenize(mark, parse_special=True)[0] for mark in marks]
    bias = tuple((token, -100.0) for token in ids)
    return Sampling(temperature=3.0, top_p=1.0, top_k=0, seed=5, logit_bias=bias)


def think_end(engine: LlamaEngine) -> tuple[tuple[int | str, float], ...]:
    (token,) = engine._bench.model.tokenize("</think>", parse_special=True)
    return ((token, 100.0),)


def test_an_answer_ends_before_a_stop_string(engine: LlamaEngine) -> None:
    parts = [TextPart("Once upon")]
    _, whole, _ = run(engine, parts, GenerateOptions(noise(engine), 200))
    stop = whole[60:64]
    _, cut, finished = run(engine, parts, GenerateOptions(noise(engine), 200, stop=("never", stop)))
    assert cut == whole[: whole.index(stop)]
    assert finished.stop_reason == "stop"


def test_endless_repetition_is_stopped_unless_it_is_wanted(engine: LlamaEngine) -> None:
    (token,) = engine._bench.model.tokenize("a", parse_special=False)
    stuck = Sampling(temperature=0, logit_bias=((token, 100.0),))
    _, _, finished = run(engine, [TextPart("x")], GenerateOptions(stuck, 900))
    assert finished.stop_reason == "loop"
    assert finished.tokens.generated < 600
    _, answer, finished = run(engine, [TextPart("x")], GenerateOptions(stuck, 900, loop_guard=False))
    assert (answer, finished.stop_reason) == ("a" * 900, "length")


def test_reasoning_is_told_from_the_answer(engine: LlamaEngine) -> None:
    ends_at_once = Sampling(temperature=0, logit_bias=think_end(engine))
    reasoning, answer, finished = run(engine, THINKING, GenerateOptions(ends_at_once, 6))
    assert reasoning == ""
    assert "<think>" not in answer
    assert finished.tokens.reasoning == 1
    reasoning, answer, finished = run(engine, THINKING, GenerateOptions(noise(engine), 9))
    assert reasoning
    assert not answer
    assert finished.tokens.reasoning == finished.tokens.generated == 9
    reasoning, answer, _ = run(engine, THINKING[:2], GenerateOptions(noise(engine), 9))
    assert answer
    assert not reasoning


@pytest.mark.parametrize("budget", [0, 1, 12])
def test_the_budget_closes_the_reasoning_in_good_form(engine: LlamaEngine, budget: int) -> None:
    options = GenerateOptions(noise(engine), 400, think_budget=budget, loop_guard=False)
    free, _, _ = run(engine, THINKING, GenerateOptions(noise(engine), max(budget, 1), loop_guard=False))
    reasoning, answer, finished = run(engine, THINKING, options)
    if budget:
        assert re.search(r"\n\nConsidering the limited time by the user, .* now\.\n$", reasoning)
        assert reasoning.startswith(free)
    else:
        assert reasoning == "\n"
    assert answer
    assert not answer.startswith("\n")
    assert budget < finished.tokens.reasoning < budget + 120


def test_a_budget_that_is_not_used_up_changes_nothing(engine: LlamaEngine) -> None:
    ends_at_once = Sampling(temperature=0, logit_bias=think_end(engine))
    with_budget = run(engine, THINKING, GenerateOptions(ends_at_once, 20, think_budget=9))
    assert with_budget[:2] == run(engine, THINKING, GenerateOptions(ends_at_once, 20))[:2]


def test_a_grammar_holds_for_the_answer_and_not_for_the_reasoning(engine: LlamaEngine) -> None:
    yes_or_no = from_grammar('root ::= "yes" | "no"')
    _, answer, finished = run(engine, THINKING[:2], GenerateOptions(GREEDY, 50, constraint=yes_or_no))
    assert answer in {"yes", "no"}
    assert finished.stop_reason == "stop"
    options = GenerateOptions(noise(engine), 400, think_budget=10, constraint=yes_or_no, loop_guard=False)
    reasoning, answer, finished = run(engine, THINKING, options)
    assert answer in {"yes", "no"}
    assert len(reasoning) > 5
    assert finished.stop_reason == "stop"
    ends_at_once = Sampling(temperature=0, logit_bias=think_end(engine))
    _, answer, _ = run(engine, THINKING, GenerateOptions(ends_at_once, 50, constraint=yes_or_no))
    assert answer in {"yes", "no"}


@pytest.mark.parametrize("max_tokens", [48, 60, 100])
def test_a_constrained_answer_is_closed_in_good_form_where_tokens_run_out(
    engine: LlamaEngine, max_tokens: int
) -> None:
    constraint = from_file_or_short("name, tags[], inner{x int, y}")
    options = GenerateOptions(noise(engine), max_tokens, constraint=constraint, loop_guard=False)
    for text in ("a", "b", "c"):
        _, answer, finished = run(engine, [TextPart(text)], options)
        constraint.check(answer)
        assert finished.tokens.generated <= max_tokens


def test_greedy_under_a_grammar_takes_the_likeliest_that_it_allows(engine: LlamaEngine) -> None:
    parts = [TextPart("abc")]
    logits = engine.next_logits(parts)
    model = engine._bench.model
    letters = {letter: model.tokenize(letter, parse_special=False)[0] for letter in "pqrs"}
    best = max(letters, key=lambda letter: logits[letters[letter]])
    _, answer, _ = run(engine, parts, GenerateOptions(GREEDY, 1, constraint=from_grammar("root ::= [pqrs]")))
    assert answer == best
