"""Sessions: whatever is asked, undone, edited and forked, the logits are those of a fresh evaluation."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import ContextFullError, EngineError, UsageError
from qwen3vl_edge.images import Picture
from qwen3vl_edge.messages import Message
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.cells import Entry, SavedCells
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.engine import Finished, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.session import LlamaSession
from qwen3vl_edge.sampling import GREEDY, Sampling
from tests.goldens import kl_divergence
from tests.prompts import conversations

WORST_KL = 1e-9  # with flash attention llama.cpp rounds F32 cells to F16, and it is 6e-5
N_ANSWER = 6
PATIENCE_S = 30.0
EXACT = EngineSettings(n_threads=2, kv_type="f32", flash_attention="off")


@pytest.fixture(scope="module", params=["tiny_bundle", "demo_f32"])
def engine(request: pytest.FixtureRequest) -> Iterator[LlamaEngine]:
    with LlamaEngine(request.getfixturevalue(request.param), EXACT) as opened:
        yield opened


def picture(seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 6, 2) * 32
    return Picture(rng.integers(0, 256, (height, width, 3), np.uint8), f"noise {seed}")


def parts_of(engine: LlamaEngine, messages: list[Message]) -> tuple[Part, ...]:
    return engine.info.template.parts(messages)


def finish(session: LlamaSession, parts: tuple[Part, ...]) -> tuple[str, Finished]:
    *events, finished = session.generate(parts, GenerateOptions(GREEDY, N_ANSWER))
    assert isinstance(finished, Finished)
    return "".join(event.text for event in events if not isinstance(event, Finished)), finished


def fresh_logits(engine: LlamaEngine, parts: tuple[Part, ...]) -> NDArray[np.float32]:
    return engine.next_logits(parts)


@pytest.mark.parametrize("seed", range(12))
def test_any_course_of_a_conversation_ends_in_the_logits_of_a_fresh_reading(
    engine: LlamaEngine, seed: int
) -> None:
    rng = random.Random(seed)
    talks: list[tuple[LlamaSession, list[Message]]] = [(engine.open_session(), [])]
    pictures = [picture(100 * seed + index) for index in range(3)]
    for _ in range(14):
        index = rng.randrange(len(talks))
        session, messages = talks[index]
        move = rng.choice(["ask", "ask", "ask", "undo", "regenerate", "edit", "fork"])
        if move == "fork" and len(talks) < 4:
            talks.append((session.fork(), list(messages)))
            continue
        if move == "undo":
            del messages[-2:]
            continue
        if move in {"regenerate", "edit"} and messages:
            del messages[-1]
        if move == "edit" and messages:
            messages[-1] = Message("user", (*messages[-1].content[:-1], f"Rather {rng.random()}?"))
        if not messages or messages[-1].role == "assistant":
            media = rng.sample(pictures, rng.randrange(3))
            messages.append(Message("user", (*media, f"What about {rng.random()}?")))
        text, finished = finish(session, parts_of(engine, messages))
        messages.append(Message("assistant", (text,)))
        prompt = finished.tokens.text + finished.tokens.vision
        assert 0 <= finished.tokens.reused < prompt
    for session, messages in talks:
        parts = parts_of(engine, [*messages, Message("user", ("And now?",))])
        given = session.next_logits(parts)
        assert kl_divergence(fresh_logits(engine, parts), given) < WORST_KL
        session.close()


def test_a_second_question_reads_only_itself(engine: LlamaEngine) -> None:
    session = engine.open_session()
    messages = conversations()["192x224"]
    parts = parts_of(engine, messages)
    text, first = finish(session, parts)
    assert first.tokens.reused == 0
    messages = [*messages, Message("assistant", (text,)), Message("user", ("And how many?",))]
    parts = parts_of(engine, messages)
    cost = session.cost(parts)
    _, second = finish(session, parts)
    assert cost.encode == 0
    assert (cost.text, cost.vision, cost.reused) == (
        second.tokens.text,
        second.tokens.vision,
        second.tokens.reused,
    )
    assert second.tokens.vision == first.tokens.vision
    assert second.seconds.encode == 0.0
    assert second.tokens.reused >= first.tokens.text + first.tokens.vision
    session.close()


def test_a_picture_that_was_encoded_is_not_encoded_again(engine: LlamaEngine) -> None:
    shown = picture(7)
    one, other = engine.open_session(), engine.open_session()
    parts = parts_of(engine, [Message("user", (shown, "What is it?"))])
    assert one.cost(parts).encode == shown.pixels.shape[0] * shown.pixels.shape[1] // 32**2
    finish(one, parts)
    assert other.cost(parts).encode == 0
    assert other.cost(parts).reused == 0
    twin = Picture(shown.pixels.copy(), "the same pixels")
    assert other.cost(parts_of(engine, [Message("user", ("Look:", twin, "?"))])).encode == 0
    changed = shown.pixels.copy()
    changed[0, 0, 0] ^= 1
    parts = parts_of(engine, [Message("user", (Picture(changed, "one bit off"), "?"))])
    assert other.cost(parts).encode > 0
    one.close()
    other.close()


def test_what_sessions_have_read_counts_once_where_they_share_it(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_ctx=512, n_threads=2)) as engine:
        session = engine.open_session()
        parts = parts_of(engine, [Message("user", ("word " * 60,))])
        _, finished = finish(session, parts)
        n_read = finished.tokens.text + finished.tokens.generated - 1
        twin = session.fork()
        other = engine.open_session()
        # a prompt keeps all but its last token; that and the answer go on standing there for the other
        n_not_kept = n_read - session.cost(parts).reused
        assert session.cost(parts).context == twin.cost(parts).context == 512 - n_not_kept
        assert other.cost(parts).context == 512 - n_read
        twin.close()
        assert session.cost(parts).context == 512
        assert other.cost(parts).context == 512 - n_read
        session.close()
        assert other.cost(parts).context == 512
        with pytest.raises(EngineError, match="closed"):
            session.cost(parts)


def test_the_context_grows_with_all_that_stands_in_it(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EXACT) as engine:
        one, other = engine.open_session(), engine.open_session()
        messages = [Message("user", (picture(1), "Hello"))]
        finish(one, parts_of(engine, messages))
        finish(other, parts_of(engine, messages))
        long = [*messages, Message("assistant", ("Yes.",)), Message("user", ("x y z " * 150,))]
        _, finished = finish(one, parts_of(engine, long))
        assert finished.tokens.reused > 0
        given = other.next_logits(parts_of(engine, messages))
        assert other.cost(parts_of(engine, messages)).reused > 0
        assert kl_divergence(fresh_logits(engine, parts_of(engine, messages)), given) < WORST_KL
        assert (
            kl_divergence(
                fresh_logits(engine, parts_of(engine, long)), one.next_logits(parts_of(engine, long))
            )
            < WORST_KL
        )


def test_a_full_context_is_told_before_anything_is_read(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_ctx=256, n_threads=2)) as engine:
        session = engine.open_session()
        messages = [Message("user", ("a",))]
        text, _ = finish(session, parts_of(engine, messages))
        too_long = parts_of(
            engine, [*messages, Message("assistant", (text,)), Message("user", ("\n" * 300,))]
        )
        assert session.cost(too_long).remaining < 0
        with pytest.raises(ContextFullError, match="fewer or smaller"):
            next(session.generate(too_long, GenerateOptions(GREEDY)))
        again = parts_of(engine, [*messages, Message("assistant", (text,)), Message("user", ("b",))])
        assert session.cost(again).reused > 0


def test_saved_cells_are_taken_up_exactly(engine: LlamaEngine) -> None:
    session, later = engine.open_session(), engine.open_session()
    messages = [Message("user", (picture(3), "What is it?"))]
    text, _ = finish(session, parts_of(engine, messages))
    parts = parts_of(engine, [*messages, Message("assistant", (text,)), Message("user", ("Sure?",))])
    later.restore_cells(session.save_cells())
    assert later.cost(parts) == session.cost(parts)
    assert kl_divergence(session.next_logits(parts), later.next_logits(parts)) < WORST_KL
    saved = session.save_cells()
    with pytest.raises(EngineError, match="saved state"):
        later.restore_cells(type(saved)(saved.entries, saved.state[:-8]))
    assert later.cost(parts).reused == 0
    assert kl_divergence(fresh_logits(engine, parts), later.next_logits(parts)) < WORST_KL


def test_a_session_that_has_read_nothing_can_be_kept_and_forked(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EXACT) as engine:
        session = engine.open_session()
        twin = session.fork()
        saved = session.save_cells()
        assert saved.entries == ()
        twin.restore_cells(saved)
        assert twin.cost(parts_of(engine, [Message("user", ("a",))])).reused == 0
        assert engine._bench.context(0).n_ctx == 256


def test_cancelled_answers_end_and_the_session_goes_on(engine: LlamaEngine) -> None:
    session = engine.open_session()
    parts = parts_of(engine, [Message("user", ("Tell me a story.",))])
    events = session.generate(parts, GenerateOptions(GREEDY, 500, loop_guard=False))
    for _ in range(3):
        next(events)
    engine.cancel()
    *_, finished = events
    assert isinstance(finished, Finished)
    assert finished.stop_reason == "cancelled"
    assert finished.tokens.generated == 3
    assert kl_divergence(fresh_logits(engine, parts), session.next_logits(parts)) < WORST_KL
    session.close()


def test_cancelling_stops_the_encoder_half_way(engine: LlamaEngine) -> None:
    rng = np.random.default_rng(0)
    shown = Picture(rng.integers(0, 256, (1536, 1536, 3), np.uint8), "large")
    parts = parts_of(engine, [Message("user", (shown, "?"))])
    native = library()
    before = native._n_nodes
    finish(engine.open_session(), parts_of(engine, [Message("user", (picture(77), "?"))]))
    n_all = native._n_nodes - before  # the graph of any picture has as many nodes
    before = native._n_nodes

    def cancel_soon() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while native._n_nodes == before and time.monotonic() < deadline:
            time.sleep(0.001)
        engine.cancel()

    session = engine.open_session()
    watcher = threading.Thread(target=cancel_soon)
    watcher.start()
    text, finished = finish(session, parts)
    watcher.join()
    assert (text, finished.stop_reason) == ("", "cancelled")
    assert native._n_nodes - before < n_all
    assert session.cost(parts).encode == finished.tokens.vision
    session.close()


def test_cancelling_stops_reading_half_way(engine: LlamaEngine) -> None:
    parts = parts_of(engine, [Message("user", ("one two three four " * 250,))])
    session = engine.open_session()

    def cancel_after_the_first_batch() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not session._occupants.entries and time.monotonic() < deadline:
            time.sleep(0.0005)
        engine.cancel()

    watcher = threading.Thread(target=cancel_after_the_first_batch)
    watcher.start()
    text, finished = finish(session, parts)
    watcher.join()
    assert (text, finished.stop_reason) == ("", "cancelled")
    assert 0 < session.cost(parts).reused < finished.tokens.text
    given = session.next_logits(parts)
    session.close()
    assert kl_divergence(fresh_logits(engine, parts), given) < WORST_KL


def test_encoded_pictures_are_shared_by_engines_through_the_disk(tiny_bundle: Bundle, tmp_path: Path) -> None:
    settings = EngineSettings(n_threads=2, cache_folder=tmp_path / "media")
    answers = []
    for expected in (9, 0):
        with LlamaEngine(tiny_bundle, settings) as engine:
            parts = parts_of(engine, [Message("user", (picture(1), "What is it?"))])
            session = engine.open_session()
            assert session.cost(parts).encode == expected
            answers.append(session.next_logits(parts))
    assert np.array_equal(*answers)


def test_forks_never_fill_more_than_there_may_be(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_ctx=256, n_threads=2)) as engine:
        session = engine.open_session()
        finish(session, parts_of(engine, [Message("user", ("a b c " * 12,))]))
        twins = [session.fork() for _ in range(3)]
        n_full = 0
        for number, one in enumerate([session, *twins]):
            other = parts_of(engine, [Message("user", (f"{number} x y " * 14,))])
            assert one.cost(other).context <= 256
            try:
                finish(one, other)
            except ContextFullError:
                n_full += 1
        assert n_full
        assert engine._bench.context(0).n_ctx == 256
        assert engine._bench.pool.n_used <= 256


def test_answers_that_take_turns_have_the_context_grow(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as engine:
        options = GenerateOptions(
            Sampling(temperature=3.0, top_k=0, top_p=1.0, seed=1), 700, loop_guard=False
        )
        model = engine._bench.model
        ends = [token for token in range(model.n_vocab) if model.ends_answer(token)]
        quiet = replace(options.sampling, logit_bias=tuple((end, -100.0) for end in ends))
        options = replace(options, sampling=quiet)
        talks = [
            engine.open_session().generate(parts_of(engine, [Message("user", (text,))]), options)
            for text in ("a", "b")
        ]
        last = [list(events)[-1] for events in map(list, zip(*talks, strict=True))][-1]
        assert isinstance(last, Finished)
        assert last.stop_reason == "length"
        assert engine._bench.pool.n_used > 1400


def test_a_long_answer_takes_memory_only_when_it_comes_to_that(tiny_bundle: Bundle) -> None:
    with LlamaEngine(tiny_bundle, EngineSettings(n_threads=2)) as engine:
        parts = parts_of(engine, [Message("user", ("a",))])
        next(engine.open_session().generate(parts, GenerateOptions(GREEDY, 4000)))
        assert engine._bench.context(0).n_ctx < 1500


def test_a_failed_growth_leaves_what_was_there(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with LlamaEngine(tiny_bundle, EXACT) as engine:
        session = engine.open_session()
        messages = [Message("user", ("a",))]
        finish(session, parts_of(engine, messages))
        context, opened = engine._bench.context(0), Context._open
        n_before = context.n_ctx

        def open_small(self: Context, n_ctx: int) -> object:
            if n_ctx > n_before:
                raise EngineError("no memory")
            return opened(self, n_ctx)

        monkeypatch.setattr(Context, "_open", open_small)
        with pytest.raises(EngineError, match="no memory"):
            finish(session, parts_of(engine, [Message("user", ("x " * 900,))]))
        parts = parts_of(engine, messages)
        given = session.next_logits(parts)
        monkeypatch.setattr(Context, "_open", lambda *_: _fail())
        with pytest.raises(EngineError, match="no memory"):
            finish(session, parts_of(engine, [Message("user", ("x " * 900,))]))
        with pytest.raises(EngineError, match="open the model again"):
            session.next_logits(parts)
    monkeypatch.undo()
    with LlamaEngine(tiny_bundle, EXACT) as engine:
        assert kl_divergence(fresh_logits(engine, parts), given) < WORST_KL


def _fail() -> None:
    raise EngineError("no memory")


def test_a_state_that_does_not_hold_what_its_list_says_is_refused(engine: LlamaEngine) -> None:
    session, later = engine.open_session(), engine.open_session()
    finish(session, parts_of(engine, [Message("user", (picture(3), "What is it?"))]))
    saved = session.save_cells()
    entries = [Entry(entry.key, entry.n_cells, 1) for entry in saved.entries]
    with pytest.raises(EngineError, match="does not hold"):
        later.restore_cells(SavedCells(tuple(entries), saved.state))
    with pytest.raises(EngineError, match="does not hold"):
        later.restore_cells(SavedCells(saved.entries[:-2], saved.state))
    session.close()
    later.close()


def test_a_bias_for_no_token_is_told_before_anything_is_read(engine: LlamaEngine) -> None:
    session = engine.open_session()
    parts = parts_of(engine, [Message("user", (picture(5), "?"))])
    wrong = GenerateOptions(Sampling(logit_bias=(("many tokens at once", 1.0),)))
    with pytest.raises(UsageError):
        next(session.generate(parts, wrong))
    assert session.cost(parts).encode > 0
    session.close()
