"""Logits under given answers: those that reading the same prompt the usual way gives."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import ContextFullError, EngineError, UsageError
from qwen3vl_edge.messages import Message
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import Generated, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.scoring import Scorer
from qwen3vl_edge.sampling import GREEDY
from tests.prompts import synthetic_clip, synthetic_picture

TEXT = "The lamp was lit again in June, and nobody on the pier said a word about it. " * 8


@contextmanager
def opened(bundle: Bundle, n_outputs: int = 64, n_ctx: int | None = None) -> Iterator[LlamaEngine]:
    with LlamaEngine(bundle, EngineSettings(n_threads=2, n_outputs=n_outputs, n_ctx=n_ctx)) as engine:
        yield engine


def prompts(engine: LlamaEngine) -> list[tuple[Part, ...]]:
    picture, clip = synthetic_picture(1, 192, 224), synthetic_clip(2, 4)
    contents = [
        (picture, "Describe this image."),
        (picture, "What color is it?"),
        (clip, "What moves?"),
        ("Hi",),
    ]
    return [engine.info.template.parts([Message("user", tuple(content))]) for content in contents]


def all_of(pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([piece.copy() for piece in pieces])


def test_each_row_is_what_reading_so_far_gives(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle, n_outputs=3) as engine:  # pieces of three: the answer takes several
        scorer = engine.open_scorer()
        for parts in prompts(engine):
            tokens = scorer.tokenize("A red square, and so on.")
            rows = all_of(scorer.scored(parts, tokens))
            assert rows.shape == (len(tokens), scorer.n_vocab)
            for i in (0, 1, len(tokens) - 1):
                begun = scorer.spell(tokens[:i])
                assert scorer.tokenize(begun) == tokens[:i]
                expected = engine.next_logits([*parts, TextPart(begun)] if begun else parts)
                np.testing.assert_allclose(rows[i], expected, atol=2e-3)
                assert rows[i].argmax() == expected.argmax()


def test_what_was_read_before_changes_no_bit(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle) as engine:
        scorer = engine.open_scorer()
        tokens = scorer.tokenize("A red square.")
        asked = prompts(engine)
        first = [all_of(scorer.scored(parts, tokens)) for parts in asked]
        scorer.answer(asked[1], 5)
        for parts, rows in reversed(list(zip(asked, first, strict=True))):
            assert np.array_equal(all_of(scorer.scored(parts, tokens)), rows)


def test_greedy_answers_are_the_engines(demo_f32: Bundle) -> None:
    with opened(demo_f32) as engine:
        scorer = engine.open_scorer()
        for parts in prompts(engine):
            events = list(engine.generate(parts, GenerateOptions(GREEDY, 12, loop_guard=False)))
            expected = "".join(event.text for event in events if isinstance(event, Generated))
            tokens = scorer.answer(parts, 12)
            assert scorer.spell(tokens) == expected
            begun = scorer.answer(parts, 12, begun=tokens[:2])
            assert begun == tokens


def test_an_answer_ends_with_the_token_that_ends_it(demo_f32: Bundle) -> None:
    with opened(demo_f32) as engine:
        scorer = engine.open_scorer()
        *_, last = tokens = scorer.answer(prompts(engine)[0], 64)
        assert scorer.ends_answer(last)
        assert not any(map(scorer.ends_answer, tokens[:-1]))
        assert len(scorer.answer(prompts(engine)[0], 2)) == 2


def test_the_second_half_of_a_chunk_is_scored(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle, n_outputs=7) as engine:
        scorer = engine.open_scorer()
        for size in (32, 33):
            chunk = scorer.tokenize(TEXT)[:size]
            rows = all_of(scorer.scored_text(chunk))
            assert len(rows) == size - 1 - size // 2
            for i in (0, len(rows) - 1):
                begun = chunk[: size // 2 + 1 + i]
                expected = engine.next_logits([TextPart(scorer.spell(begun))])
                np.testing.assert_allclose(rows[i], expected, atol=2e-3)


def test_its_place_is_given_back(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle) as engine:
        for _ in range(40):  # more than there are sequences
            engine.open_scorer().close()
        with pytest.raises(UsageError, match="empty answer"):
            engine.open_scorer().scored(prompts(engine)[0], [])
    with pytest.raises(EngineError, match="closed"):
        engine.open_scorer()


def test_what_does_not_fit_is_refused_before_it_is_read(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle, n_ctx=256) as engine:
        scorer: Scorer = engine.open_scorer()
        with pytest.raises(ContextFullError, match="256"):
            scorer.scored_text(scorer.tokenize(TEXT * 5)[:400])


def test_speed_is_a_number_a_second(tiny_bundle: Bundle) -> None:
    with opened(tiny_bundle) as engine:
        speed = engine.open_scorer().measure_speed()
        assert min(speed.prefill, speed.decode, speed.encode_s) > 0
