import re
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import EngineError, UsageError
from qwen3vl_edge.runtime.grammar import Grammar
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.sampler import Sampler
from qwen3vl_edge.sampling import GREEDY, Sampling

N_CTX = 256
Logits = NDArray[np.float32]
Draw = Callable[..., NDArray[np.float64]]


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[TextModel]:
    """Its vocabulary: all bytes, a few pairs of letters, and the added tokens."""
    opened = TextModel(tiny_bundle.model)
    yield opened
    opened.close()


def random_logits(model: TextModel, seed: int, spread: float = 3) -> Logits:
    return np.random.default_rng(seed).normal(0, spread, model.n_vocab).astype(np.float32)


def token(model: TextModel, text: str) -> int:
    (found,) = model.tokenize(text, parse_special=True)
    return found


def fitting(model: TextModel, pattern: str) -> NDArray[np.bool_]:
    """Tell of each token whether what it shows matches `pattern`."""
    pieces = (model.piece(found).decode("utf-8", "replace") for found in range(model.n_vocab))
    return np.array([bool(re.fullmatch(pattern, piece)) for piece in pieces])


def expected_odds(logits: Logits, chosen: Sampling, admitted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The reference's warpers in its order, as transformers 5.23 defines them, on what is admitted."""
    scores = np.where(admitted, logits.astype(np.float64) / chosen.temperature, -np.inf)
    if chosen.top_k:
        scores[scores < np.sort(scores)[-chosen.top_k]] = -np.inf
    order = np.argsort(scores)
    cumulative = np.cumsum(softmax(scores)[order])
    cut = order[cumulative <= 1 - chosen.top_p]
    scores[cut[: len(order) - 1]] = -np.inf
    odds = softmax(scores)
    scores[odds < chosen.min_p * odds.max()] = -np.inf
    return softmax(scores)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def drawn_odds(sampler: Sampler, logits: Logits, count: int = 4000) -> NDArray[np.float64]:
    draws = [sampler.pick(logits) for _ in range(count)]
    return np.bincount(draws, minlength=len(logits)) / count


def far_apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Total variation distance."""
    return float(np.abs(one - other).sum() / 2)


@pytest.mark.parametrize(
    "chosen",
    [
        Sampling(temperature=1.3, top_k=8, top_p=1, seed=1),
        Sampling(temperature=1.3, top_k=0, top_p=0.8, seed=2),
        Sampling(temperature=1.3, top_k=20, top_p=0.7, min_p=0.1, seed=3),
        Sampling(temperature=1.0, top_k=0, top_p=1, min_p=0.2, seed=4),
    ],
)
@pytest.mark.parametrize("spread", [3, 12])
@pytest.mark.parametrize("grammar", [None, "root ::= [a-z]*"])
def test_odds_are_the_reference_s(
    model: TextModel, chosen: Sampling, grammar: str | None, spread: float
) -> None:
    logits = random_logits(model, 5, spread)
    admitted = np.ones(model.n_vocab, bool)
    if grammar:
        admitted = fitting(model, "[a-z]+")
        admitted[[found for found in range(model.n_vocab) if model.ends_answer(found)]] = True
    with closing(Sampler(model, chosen, [], N_CTX, grammar)) as sampler:
        sampler.begin_answer()
        drawn = drawn_odds(sampler, logits)
    expected = expected_odds(logits, chosen, admitted)
    assert not drawn[expected == 0].any()
    assert far_apart(drawn, expected) < 0.04


def test_filters_see_only_what_the_grammar_admits(model: TextModel) -> None:
    """Asking the grammar after the filters would give other odds here: top-p would keep three tokens."""
    logits = np.full(model.n_vocab, -30, np.float32)
    logits[[token(model, one) for one in "zabc"]] = np.log([0.6, 0.2, 0.15, 0.05]).astype(np.float32)
    chosen = Sampling(temperature=1, top_k=0, top_p=0.85, seed=1)
    with closing(Sampler(model, chosen, [], N_CTX, "root ::= [a-c]")) as sampler:
        sampler.begin_answer()
        drawn = drawn_odds(sampler, logits)
    assert np.flatnonzero(drawn).tolist() == sorted(token(model, one) for one in "ab")
    assert drawn[token(model, "a")] == pytest.approx(0.2 / 0.35, abs=0.03)


def test_what_is_admitted_far_down_counts_too(model: TextModel) -> None:
    """Eighty tokens that are refused stand between the likeliest and the others."""
    logits = np.full(model.n_vocab, -50, np.float32)
    letters = np.flatnonzero(fitting(model, "[a-z]"))
    logits[np.flatnonzero(~fitting(model, "[a-z]+"))[:80]] = 1.5
    logits[letters] = 1
    logits[letters[0]] = 6
    with closing(
        Sampler(model, Sampling(temperature=1, top_k=0, top_p=1, seed=1), [], N_CTX, "root ::= [a-z]")
    ) as sampler:
        sampler.begin_answer()
        drawn = drawn_odds(sampler, logits)
    expected = 1 / (1 + 25 * np.exp(-5))
    assert drawn[letters[0]] == pytest.approx(expected, abs=0.03)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_greedy_takes_the_likeliest_of_what_is_admitted(model: TextModel, seed: int) -> None:
    logits = random_logits(model, seed).round()  # with many equals: the first counts
    admitted = fitting(model, "[xyz]")
    with closing(Sampler(model, GREEDY, [], N_CTX, "root ::= [xyz]")) as sampler:
        assert sampler.pick(logits) == logits.argmax()
        sampler.begin_answer()
        assert sampler.pick(logits) == np.where(admitted, logits, -np.inf).argmax()


def test_next_to_no_temperature_is_greedy(model: TextModel) -> None:
    logits = random_logits(model, 1)
    with closing(Sampler(model, Sampling(temperature=1e-44, top_k=0, top_p=1), [], N_CTX)) as sampler:
        assert {sampler.pick(logits) for _ in range(50)} == {int(logits.argmax())}


def test_a_seed_makes_the_choice_repeatable(model: TextModel) -> None:
    logits = random_logits(model, 1, spread=1)

    def draws(seed: int | None) -> list[int]:
        with closing(Sampler(model, Sampling(temperature=1, top_p=1, seed=seed), [], N_CTX)) as sampler:
            return [sampler.pick(logits) for _ in range(20)]

    assert draws(7) == draws(7) != draws(8)
    assert draws(None) != draws(None)


def first_choices(sampler: Sampler, logits: Logits, count: int) -> list[int]:
    chosen = []
    for _ in range(count):
        chosen.append(sampler.pick(logits))
        sampler.accept(chosen[-1])
    return chosen


def test_the_repetition_penalty_counts_prompt_and_answer(model: TextModel) -> None:
    logits = np.full(model.n_vocab, -5, np.float32)
    logits[:4] = 8, 7, 6, -1
    greedy = Sampling(temperature=0, repetition_penalty=2)
    with closing(Sampler(model, greedy, [0, 0, 3], N_CTX)) as sampler:
        # 0 was in the prompt: 8 / 2 = 4, once; -1 of token 3 becomes -2
        assert first_choices(sampler, logits, 4) == [1, 2, 0, 0]


def test_the_other_penalties_count_the_answer_alone(model: TextModel) -> None:
    logits = np.full(model.n_vocab, -5, np.float32)
    logits[:2] = 3.0, 1.5
    presence = Sampling(temperature=0, presence_penalty=1.75)
    with closing(Sampler(model, presence, [0, 0], N_CTX)) as sampler:
        assert first_choices(sampler, logits, 3) == [0, 1, 0]  # 3, 1.5; 1.25, 1.5; 1.25, -0.25
    frequency = Sampling(temperature=0, frequency_penalty=1)
    with closing(Sampler(model, frequency, [0, 0], N_CTX)) as sampler:
        assert first_choices(sampler, logits, 5) == [0, 0, 1, 0, 1]  # 3; 2; 1, 1.5; 1, 0.5; 0, 0.5


def test_repetition_comes_before_presence(model: TextModel) -> None:
    logits = np.full(model.n_vocab, -50, np.float32)
    logits[:2] = 8.0, 3.25
    both = Sampling(temperature=0, repetition_penalty=2, presence_penalty=1)
    with closing(Sampler(model, both, [], N_CTX)) as sampler:
        assert first_choices(sampler, logits, 2) == [0, 1]  # 8 / 2 - 1 = 3; (8 - 1) / 2 would be 3.5


def test_a_bias_is_added_before_the_penalties(model: TextModel) -> None:
    logits = np.zeros(model.n_vocab, np.float32)
    logits[:2] = 2.0, 5.0
    chosen = Sampling(temperature=0, repetition_penalty=2, logit_bias=((0, 6.0),))
    with closing(Sampler(model, chosen, [0], N_CTX)) as sampler:
        assert sampler.pick(logits) == 1  # (2 + 6) / 2 = 4; 2 / 2 + 6 would be 7
    assert logits[:2].tolist() == [2, 5]


def test_a_bias_bans_and_forces_tokens_named_by_id_or_text(model: TextModel) -> None:
    logits = random_logits(model, 3)
    best, a = int(logits.argmax()), token(model, "a")
    for bias, expected in (
        (((best, -100.0),), int(np.argsort(logits)[-2])),
        ((("a", 100.0),), a),
        (((a, -100.0), ("a", 100.0)), a),  # the later one holds
    ):
        with closing(Sampler(model, Sampling(temperature=0, logit_bias=bias), [], N_CTX)) as sampler:
            assert sampler.pick(logits) == expected


@pytest.mark.parametrize(
    ("named", "message"),
    [("xyz", "'xyz' is 3 tokens"), ("<|im_end|>", "tokens of this model"), (100_000, "no token 100000")],
)
def test_a_bias_must_name_one_token(model: TextModel, named: int | str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampler(model, Sampling(logit_bias=((named, 1.0),)), [], N_CTX)


def write(sampler: Sampler, model: TextModel, seed: int, most: int = 80) -> tuple[bytes, bool]:
    """Let random logits write; the text, and whether it was ended rather than cut."""
    random = np.random.default_rng(seed)
    text = b""
    for _ in range(most):
        chosen = sampler.pick(random.normal(0, 4, model.n_vocab).astype(np.float32))
        sampler.accept(chosen)
        if model.ends_answer(chosen):
            return text, True
        text += model.piece(chosen)
    return text, False


# a grammar and the same as a regular expression, for whole answers
GRAMMARS = {
    'root ::= "yes" | "no"': "yes|no",
    r'root ::= "\"" [^"\\\x00-\x1f]* "\""': r'"[^"\\\x00-\x1f]*"',
    'root ::= [é-ü]{2,5} "." "漢字"?': "[é-ü]{2,5}\\.(漢字)?",
    "root ::= [一-龥]+ [^a-z] .{0,4}": "(?s)[一-龥]+[^a-z].{0,4}",
    'root ::= item ("," item)*\nitem ::= "-"? [0-9]{1,3} | "the"': r"(-?\d{1,3}|the)(,(-?\d{1,3}|the))*",
    "root ::= .*": "(?s).*",
    'root ::= ""': "",
}


@pytest.mark.parametrize("temperature", [0, 2])
@pytest.mark.parametrize("grammar", GRAMMARS)
def test_answers_that_end_are_of_the_grammar(model: TextModel, grammar: str, temperature: float) -> None:
    """Random bytes under a grammar: well-formed text, control tokens never, nothing that aborts."""
    n_ended = 0
    for seed in range(40):
        chosen = Sampling(temperature=temperature, top_k=seed % 3 * 20, top_p=1, seed=seed)
        with closing(Sampler(model, chosen, [], N_CTX, grammar)) as sampler:
            sampler.begin_answer()
            data, ended = write(sampler, model, seed)
        text = data.decode("utf-8", "strict" if ended else "ignore")
        n_ended += ended
        assert not ended or re.fullmatch(GRAMMARS[grammar], text), text
    assert n_ended


atoms = st.sampled_from(['"a"', '"the"', '"é"', '"漢"', "[a-f]", "[^a-y]", "[α-ω]", "[😀-😎]", ".", '""'])
bodies = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda ways: "(" + " | ".join(ways) + ")"),
        st.tuples(inner, st.sampled_from(["?", "{1,3}", "{2}"])).map(lambda made: f"({made[0]}){made[1]}"),
    ),
    max_leaves=8,
)


@given(bodies, st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_no_grammar_takes_the_process_down(model: TextModel, body: str, seed: int) -> None:
    with closing(Sampler(model, Sampling(temperature=1, seed=1), [], N_CTX, f"root ::= {body}")) as sampler:
        sampler.begin_answer()
        data, ended = write(sampler, model, seed, most=120)
    assert ended  # finite grammars
    data.decode()


def test_control_tokens_are_no_text(model: TextModel) -> None:
    logits = random_logits(model, 1)
    logits[token(model, "<|im_start|>")] = 50
    logits[token(model, "<|im_end|>")] = 40
    with closing(Sampler(model, GREEDY, [], N_CTX, "root ::= .+")) as sampler:
        assert sampler.pick(logits) == token(model, "<|im_start|>")
        sampler.begin_answer()
        first = sampler.pick(logits)
        assert model.piece(first)
        sampler.accept(first)
        assert sampler.pick(logits) == token(model, "<|im_end|>")  # complete now


def test_characters_are_completed_as_unicode_wants_it(model: TextModel) -> None:
    (surrogate, before) = (token_of_byte(model, byte) for byte in (0xA0, 0x9F))
    with closing(Sampler(model, GREEDY, [], N_CTX, "root ::= .*")) as sampler:
        sampler.begin_answer()
        sampler.accept(token_of_byte(model, 0xED))
        for refused in (surrogate, token(model, "a"), token(model, "<|im_end|>")):
            with pytest.raises(EngineError, match="does not admit"):
                sampler.accept(refused)
        sampler.accept(before)
        for byte in (0xF5, 0xC0):
            with pytest.raises(EngineError, match="does not admit"):
                sampler.accept(token_of_byte(model, byte))


def token_of_byte(model: TextModel, byte: int) -> int:
    return next(found for found in range(model.n_vocab) if model.piece(found) == bytes([byte]))


def test_tokens_that_have_to_come_are_checked(model: TextModel) -> None:
    with closing(Sampler(model, GREEDY, [], N_CTX, 'root ::= "ab"')) as sampler:
        sampler.accept(token(model, "x"))  # reasoning
        sampler.begin_answer()
        with pytest.raises(EngineError, match="the grammar does not admit it"):
            sampler.accept(token(model, "x"))
        for impossible in (-1, model.n_vocab):
            with pytest.raises(EngineError, match="has to come and the model has"):
                sampler.accept(impossible)
        sampler.accept(token(model, "a"))
        assert sampler.pick(random_logits(model, 1)) == token(model, "b")


def test_a_grammar_that_no_token_fits_is_told(model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grammar, "admits", lambda _, tokens: np.zeros(len(tokens), np.bool_))
    with closing(Sampler(model, GREEDY, [], N_CTX, 'root ::= "a"')) as sampler:
        sampler.begin_answer()
        with pytest.raises(EngineError, match="admits none"):
            sampler.pick(random_logits(model, 1))


@pytest.mark.parametrize(
    ("grammar", "message"),
    [("", "no rule root"), ('root ::= root "a"', "refers to itself"), ("root ::= x", "'x'")],
)
def test_what_is_no_grammar_is_refused(model: TextModel, grammar: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampler(model, GREEDY, [], N_CTX, grammar)


@pytest.fixture
def context(model: TextModel) -> Iterator[object]:
    """A context of llama.cpp that has read a few letters."""
    llama = library().llama
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = N_CTX
    handle = llama.llama_init_from_model(model.handle, parameters)
    ids = model.tokenize("abc", parse_special=False)
    tokens = (llama.llama_token * len(ids))(*ids)
    assert llama.llama_decode(handle, llama.llama_batch_get_one(tokens, len(ids))) == 0
    yield handle
    llama.llama_free(handle)


def test_tokens_are_chosen_from_a_context_and_accepted(model: TextModel, context: object) -> None:
    logits = np.ctypeslib.as_array(library().llama.llama_get_logits_ith(context, -1), (model.n_vocab,))
    best = np.argsort(-logits)
    with closing(Sampler(model, GREEDY, [], N_CTX)) as sampler:
        assert [sampler.choose(context) for _ in range(2)] == [best[0]] * 2
    once = Sampling(temperature=0, presence_penalty=2, frequency_penalty=2)
    with closing(Sampler(model, once, [], N_CTX)) as sampler:
        assert sampler.choose(context, 2) == best[0]  # the third token of the batch is the last
        assert logits[best[1]] > logits[best[0]] - 4
        assert sampler.choose(context) == best[1]
    with closing(Sampler(model, GREEDY, [], N_CTX, 'root ::= "ab"')) as sampler:
        sampler.begin_answer()
        assert b"".join(model.piece(sampler.choose(context)) for _ in range(2)) == b"ab"
        assert model.ends_answer(sampler.choose(context))


def test_a_context_without_logits_is_told(model: TextModel, context: object) -> None:
    with (
        closing(Sampler(model, GREEDY, [], N_CTX)) as sampler,
        pytest.raises(EngineError, match="no logits at 9"),
    ):
        sampler.choose(context, 9)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_told(model: TextModel, wrong: float) -> None:
    logits = random_logits(model, 1)
    logits[3] = wrong
    with (
        closing(Sampler(model, GREEDY, [], N_CTX)) as sampler,
        pytest.raises(EngineError, match="no numbers"),
    ):
        sampler.pick(logits)


@pytest.mark.parametrize(
    "settings", [GREEDY, Sampling(seed=1), Sampling(temperature=0, repetition_penalty=1.5)]
)
def test_an_answer_that_may_not_end_goes_on(model: TextModel, settings: Sampling) -> None:
    end = token(model, "<|im_end|>")
    logits = random_logits(model, seed=9)
    logits[list(model.end_tokens)] = 50
    with closing(Sampler(model, settings, [end], N_CTX)) as sampler:
        assert sampler.pick(logits) in model.end_tokens
        sampler.may_end = False
        chosen = [sampler.pick(logits) for _ in range(20)]
        assert not set(chosen) & set(model.end_tokens)
        if settings is GREEDY:
            others = np.delete(np.arange(model.n_vocab), model.end_tokens)
            assert chosen[0] == others[logits[others].argmax()]


@pytest.mark.parametrize("settings", [GREEDY, Sampling(seed=1)])
def test_an_answer_that_its_grammar_has_completed_ends_even_if_it_may_not(
    model: TextModel, settings: Sampling
) -> None:
    logits = random_logits(model, seed=9)
    logits[list(model.end_tokens)] = 50
    with closing(Sampler(model, settings, [], N_CTX, 'root ::= "a"?')) as sampler:
        sampler.begin_answer()
        assert sampler.pick(logits) in model.end_tokens
        sampler.may_end = False
        letter = sampler.pick(logits)
        assert model.piece(letter) == b"a"
        sampler.accept(letter)
        assert sampler.pick(logits) in model.end_tokens


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_greedy_refuses_logits_that_are_no_numbers(model: TextModel, bad: float) -> None:
    logits = random_logits(model, seed=3)
    logits[7] = bad
    with (
        closing(Sampler(model, GREEDY, [], N_CTX)) as sampler,
        pytest.raises(EngineError, match="no numbers"),
    ):
        sampler.pick(logits)
