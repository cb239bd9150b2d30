"""The arithmetic of a comparison, without a model: divergences, intervals, advice, records."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant.comparison.advice import Bounds, advise
from qwen3vl_edge.quant.comparison.distributions import (
    MOST_KEPT,
    TAIL,
    Distributions,
    diverge,
    keep,
)
from qwen3vl_edge.quant.comparison.losses import Flips, Loss, Losses, sum_up
from qwen3vl_edge.quant.comparison.material import Question, Sight
from qwen3vl_edge.quant.comparison.observations import Answered, Observed, Prompt
from qwen3vl_edge.quant.comparison.report import (
    CandidateReport,
    Comparison,
    FileFacts,
    Halves,
    MaterialFacts,
    PairFacts,
)
from qwen3vl_edge.quant.comparison.statistics import Interval, clustered_mean, wilson
from qwen3vl_edge.quant.comparison.store import Store, record_key

Floats = NDArray[np.float64]


def pair_of_logits(
    seed: int, n: int, n_vocab: int, spread: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    logits = (random.normal(size=(n, n_vocab)) * spread).astype(np.float32)
    return logits, (logits + random.normal(size=logits.shape) * 0.3).astype(np.float32)


def true_kl(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Floats:
    """The definition, over the whole vocabulary, shape (n,)."""
    logs = [each - each.max(axis=1, keepdims=True) for each in (ours.astype(float), theirs.astype(float))]
    p, q = (each - np.log(np.exp(each).sum(axis=1, keepdims=True)) for each in logs)
    result: Floats = (np.exp(p) * (p - q)).sum(axis=1)
    return result


@pytest.mark.parametrize("spread", [0.5, 3.0, 8.0])  # flat, where the cap binds; usual; confident
def test_divergence_is_that_of_the_whole_vocabulary_within_its_error(spread: float) -> None:
    ours, theirs = pair_of_logits(1, 200, 20_000, spread)
    tokens = [0] * len(ours)
    found = diverge(keep([ours], tokens, seed=3), [theirs], tokens)
    expected = true_kl(ours, theirs)
    mean_error = np.sqrt((found.error**2).sum()) / len(ours)
    assert abs(found.kl.mean() - expected.mean()) < 4 * mean_error + 1e-6
    assert mean_error < 0.03 * expected.mean()  # over 200 tokens; usually there are thousands
    assert (np.abs(found.kl - expected) < 6 * found.error + 1e-5).mean() > 0.98


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 700), st.floats(0.1, 20))
def test_of_small_vocabularies_everything_is_exact(seed: int, n_vocab: int, spread: float) -> None:
    ours, theirs = pair_of_logits(seed, 5, n_vocab, spread)
    tokens = np.random.default_rng(seed).integers(0, n_vocab, 5).tolist()
    kept = keep(iter([ours[:2], ours[2:]]), tokens, seed)
    itself = diverge(kept, [ours], tokens)
    assert not itself.kl.any()
    assert np.array_equal(itself.token_logprobs, kept.token_logprobs)
    assert np.array_equal(itself.top_ids, kept.top_ids)
    assert np.array_equal(kept.top_ids, ours.argmax(axis=1))
    other = diverge(kept, [theirs], tokens)
    np.testing.assert_allclose(other.kl, true_kl(ours, theirs), atol=2e-3, rtol=1e-4)
    assert kept.tail_mass.max() <= TAIL or kept.counts.max() == MOST_KEPT
    masses = [
        part.sum() for part in np.split(np.exp(kept.logprobs.astype(float)), np.cumsum(kept.counts))[:-1]
    ]
    np.testing.assert_allclose(masses + kept.tail_mass, 1.0, atol=1e-5)


def test_of_equal_logits_the_first_is_the_likeliest() -> None:
    logits = np.zeros((1, 900), np.float32)
    logits[0, [700, 40, 300]] = 5.0
    kept = keep([logits], [1], seed=0)
    assert kept.top_ids.tolist() == [40]
    assert diverge(kept, [logits], [1]).top_ids.tolist() == [40]


def test_wilsons_interval() -> None:
    """Against values of R 4.3, ``prop.test(x, n, correct = FALSE)``."""
    for hits, n, low, high in (
        (0, 10, 0.0, 0.2775328),
        (5, 10, 0.2365931, 0.7634069),
        (1, 64, 0.0027661, 0.0833446),
    ):
        found = wilson(hits, n)
        assert found.value == hits / n
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_clusters_make_intervals_wider_than_tokens() -> None:
    random = np.random.default_rng(0)
    clusters = [np.full(50, value) for value in random.normal(1.0, 1.0, 40)]
    found = clustered_mean(clusters)
    alone = clustered_mean([np.array([value]) for cluster in clusters for value in cluster])
    assert found.value == pytest.approx(alone.value)
    standard_error = np.std([cluster[0] for cluster in clusters]) / np.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert alone.high - alone.low < (found.high - found.low) / 5
    assert clustered_mean(clusters) == found
    assert clustered_mean(clusters[:1]).high == np.inf


def answered(
    text: str, tops: list[int], kl: float = 0.1, name: str = "a"
) -> tuple[Prompt, Answered, Observed]:
    """An answer of three tokens 0, 0, 0 of which a candidate finds `tops` likeliest, and says `text`."""
    logits = np.zeros((3, 10), np.float32)
    logits[:, 0] = 9.0
    kept = keep([logits], [0, 0, 0], seed=0)
    divergence = diverge(kept, [logits], [0, 0, 0])
    found = replace(divergence, kl=np.full(3, kl), top_ids=np.array(tops, np.uint32))
    sight = Sight("picture", name, name, lambda _: pytest.fail("not loaded"))
    prompt = Prompt(Question(sight, "What color?"))
    return prompt, Answered((0, 0, 0), "Red.", True, kept), Observed(found, text)


def test_answers_flip_when_their_words_differ() -> None:
    given_text = answered("", [5, 5, 5])
    found = sum_up(
        [
            answered("Red.", [0, 0, 0]),
            answered("red", [0, 3, 0], kl=0.3, name="b"),  # changed, but no other word
            answered("Blue.", [4, 0, 0], kl=0.5, name="b"),
            (given_text[0], replace(given_text[1], generated=False), given_text[2]),
        ]
    )
    flips = found.flips
    assert (flips.n_answers, flips.n_changed, flips.n_short, flips.n_flipped) == (3, 2, 3, 1)
    assert [(each.sight, each.reference, each.candidate) for each in flips.examples] == [
        ("b", "Red.", "Blue.")
    ]
    loss = found.picture
    assert loss is not None
    assert found.text is found.clip is None
    assert (loss.n_prompts, loss.n_tokens) == (4, 12)
    assert loss.kl.value == pytest.approx(0.25)
    assert loss.same_top == pytest.approx(7 / 12)
    assert loss.perplexity == pytest.approx(loss.reference_perplexity)
    assert loss.perplexity == pytest.approx(1 + 9 * np.exp(-9), rel=1e-5)


def test_short_is_what_is_short_in_every_script() -> None:
    _, said, _ = answered("", [0, 0, 0])
    assert replace(said, text="A red circle.").is_short
    assert replace(said, text="红色的圆形").is_short
    assert not replace(said, text="It is a circle.").is_short
    assert not replace(said, text="图中有一个红色的圆形，背景是白色的。", tokens=(0,) * 17).is_short
    assert not replace(said, text=" \n").is_short
    assert not replace(said, generated=False, text="Red").is_short


def candidate(
    name: str, size: int, kl: float, flipped: int | None = 0, high: float | None = None
) -> CandidateReport:
    loss = Loss(1, 1, Interval(kl, kl / 2, high or kl * 2), kl, kl, kl, 0.0, 1.0, 2.0, 2.0)
    share = None if flipped is None else wilson(flipped, 100)
    losses = Losses(loss, None, None, Flips(100, flipped or 0, share, 100, flipped or 0, share, ()))
    file = FileFacts("f", "Q8_0", size, "x", None, None)
    return CandidateReport(PairFacts(name, file, file, size, 8.0, None), Halves(losses, None, None), ())


def comparison(*candidates: CandidateReport) -> Comparison:
    material = MaterialFacts(0, 0, 0, 0, 1, 512, 64, "t", False)
    return Comparison(candidates[0].pair, candidates, material, {}, "now", 0)


def test_the_smallest_within_the_bounds_is_recommended() -> None:
    found = comparison(
        candidate("q8", 800, 0.001),
        candidate("q4", 400, 0.03, 1),
        candidate("q5", 500, 0.01),
        candidate("q2", 200, 0.4, 9),
    )
    advice = advise(found, Bounds(max_kl=0.05, max_flips=0.02))
    assert advice.chosen == "q4"
    reasons = {verdict.name: verdict.reasons for verdict in advice.verdicts}
    assert reasons["q4"] == ()
    assert reasons["q2"] == ("KL on text 0.4, above 0.05", "9 % of short answers flip, above 2 %")
    assert reasons["q5"] == ("within the bounds, but no smaller than q4",)
    assert advise(found, Bounds(max_kl=0.05, sure=True)).chosen == "q5"  # 0.06 is possible for q4
    assert advise(found, Bounds(max_bytes=300)).chosen == "q2"
    best = advise(found, Bounds(max_bytes=600))  # the smallest would be the worst
    assert best.chosen == "q5"
    assert {verdict.name: verdict.reasons for verdict in best.verdicts}["q2"] == (
        "within the bounds, but no better than q5",
    )
    assert advise(found, Bounds(max_bytes=300, max_kl=0.05)).chosen is None
    assert "400 bytes, above 300" in str(advise(found, Bounds(max_bytes=300)).verdicts)


def test_of_equally_small_ones_that_which_loses_less() -> None:
    assert advise(comparison(candidate("a", 4, 0.2), candidate("b", 4, 0.1)), Bounds(max_kl=1)).chosen == "b"


@pytest.mark.parametrize(
    "bounds",
    [
        dict[str, float](),
        {"max_kl": -1.0},
        {"max_kl": float("nan")},
        {"max_bytes": 9, "sure": True},
        {"max_flips": 1.5},
        {"max_flips": -0.1},
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Bounds(**bounds)  # type: ignore[arg-type]


def test_flips_cannot_be_bounded_where_none_could_happen() -> None:
    with pytest.raises(UsageError, match="no short answers"):
        advise(comparison(candidate("a", 4, 0.2, None)), Bounds(max_flips=0.1))


def test_records_come_back_or_count_as_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "new")
    _, said, seen = answered("é", [1, 2, 3])
    key, other = record_key("a", 1, None), record_key("a", 1, "None")
    assert key != other
    assert store.get(key) is None
    store.put(key, said.record())
    store.put(other, seen.record())
    back = Answered.of(store.get(key) or {})
    assert (back.tokens, back.text, back.generated) == (said.tokens, said.text, True)
    for each in fields(Distributions):
        kept, loaded = getattr(said.distributions, each.name), getattr(back.distributions, each.name)
        assert np.array_equal(kept, loaded)
        assert kept.dtype == loaded.dtype
    assert Observed.of(store.get(other) or {}).text == "é"
    (path,) = (tmp_path / "new").rglob(f"{key}.npz")
    whole = path.read_bytes()
    method = whole.index(b"PK\x01\x02") + 10  # of compression: one that Python does not know
    strange = whole[:method] + b"\x63" + whole[method + 1 :]
    for damaged in (b"", whole[:-30], b"x" * 100, strange):
        path.write_bytes(damaged)
        assert store.get(key) is None
    assert not list((tmp_path / "new").rglob("*.tmp"))
