"""Conversations with the scripted engine: turns, policies, what is read again."""

import random
from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.chat import ChatEvent, Conversation, Notice, Policy, Turn
from qwen3vl_edge.errors import ContextFullError, UsageError
from qwen3vl_edge.images import Picture, load_picture
from qwen3vl_edge.messages import Message
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import Finished, Generated, GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY


def talk(n_ctx: int = 1 << 16, policy: Policy = "stop", max_tokens: int = 16) -> Conversation:
    numbers = count(1)
    engine = ScriptedEngine(lambda _: f"answer {next(numbers)}", n_ctx=n_ctx)
    return Conversation(engine, GenerateOptions(GREEDY, max_tokens), policy=policy)


def drain(events: Iterable[ChatEvent]) -> tuple[str, Finished, list[str]]:
    answer, notices, finished = "", [], None
    for event in events:
        match event:
            case Generated(text=text):
                answer += text
            case Notice(text=text):
                notices.append(text)
            case Finished():
                finished = event
    assert finished is not None
    return answer, finished, notices


def texts(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def last_prompt(conversation: Conversation) -> str:
    assert isinstance(conversation.engine, ScriptedEngine)
    return texts(conversation.engine.prompts[-1])


def picture(height: int, width: int, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(rng.integers(0, 256, (height, width, 3), np.uint8), "no such file")


def test_each_turn_reads_only_what_is_new() -> None:
    conversation = talk()
    n_read = 0
    for number in range(10):
        content = [picture(64, 96, seed=number)] if number % 3 == 0 else []
        cost = conversation.cost(*content, f"question {number}")
        _, finished, _ = drain(conversation.ask(*content, f"question {number}"))
        assert finished.tokens.reused == n_read
        assert cost.reused == n_read
        n_read = finished.tokens.text + finished.tokens.vision + finished.tokens.generated - 1
    assert [turn.answer for turn in conversation.turns] == [f"answer {n}" for n in range(1, 11)]


def test_undo_regenerate_and_edit() -> None:
    conversation = talk()
    shown = picture(64, 64)
    drain(conversation.ask(shown, "one"))
    drain(conversation.ask("two"))
    assert drain(conversation.regenerate())[0] == "answer 3"
    assert conversation.turns[-1] == Turn(Message("user", ("two",)), "answer 3")
    assert conversation.undo().answer == "answer 3"
    drain(conversation.edit("ONE"))
    assert [turn.question.content for turn in conversation.turns] == [(shown, "ONE")]
    assert last_prompt(conversation).endswith("[user]ONE[assistant]")
    conversation.clear()
    for use in (conversation.undo, conversation.regenerate, lambda: conversation.edit("x")):
        with pytest.raises(UsageError, match="nothing was asked"):
            use()


def test_an_answer_that_fails_leaves_the_old_one() -> None:
    conversation = talk()
    drain(conversation.ask("one"))
    assert isinstance(conversation.engine, ScriptedEngine)

    def fail(_: Sequence[Part]) -> str:
        raise ContextFullError("no more")

    conversation.engine.answer = fail
    with pytest.raises(ContextFullError):
        drain(conversation.regenerate())
    with pytest.raises(ContextFullError):
        drain(conversation.ask("two"))
    assert [turn.answer for turn in conversation.turns] == ["answer 1"]


def test_a_cancelled_answer_stays_as_far_as_it_came() -> None:
    conversation = talk()
    events = conversation.ask("one")
    assert [next(events) for _ in range(3)] == [Generated("a"), Generated("n"), Generated("s")]
    conversation.engine.cancel()
    assert drain(events)[1].stop_reason == "cancelled"
    assert conversation.turns[-1].answer == "ans"
    assert conversation.turns[-1].stop_reason == "cancelled"


def test_an_answer_can_be_cancelled_before_its_first_event_is_taken() -> None:
    """Ctrl-C may come between the question and the first thing that is done for it."""
    conversation = talk()
    drain(conversation.ask("one"))
    for ask in (lambda: conversation.ask("two"), conversation.regenerate, lambda: conversation.edit("three")):
        events = ask()
        conversation.engine.cancel()
        assert drain(events)[1].stop_reason == "cancelled"
        assert conversation.turns[-1].answer == ""


def test_an_abandoned_answer_leaves_no_trace() -> None:
    conversation = talk()
    drain(conversation.ask("one"))
    for events in (conversation.ask("two"), conversation.regenerate()):
        next(events)
        events.close()  # type: ignore[attr-defined]
        assert [turn.answer for turn in conversation.turns] == ["answer 1"]


def test_forks_go_their_own_ways() -> None:
    conversation = talk()
    drain(conversation.ask("one"))
    twin = conversation.fork()
    assert twin.cost("two").reused == conversation.cost("two").reused > 0
    drain(twin.ask("two"))
    assert [len(conversation.turns), len(twin.turns)] == [1, 2]
    twin.close()


def test_a_full_context_stops_with_a_message_and_warns_before() -> None:
    conversation = talk(n_ctx=300)
    notices: list[str] = []
    with pytest.raises(ContextFullError, match=r"of 300; give less text, or have the oldest turns dropped"):
        for number in range(40):
            notices += drain(conversation.ask(f"question {number}"))[2]
    assert notices
    assert all("% full" in notice for notice in notices)
    assert len(conversation.turns) > 5


def test_the_oldest_turns_are_dropped_whole_and_the_system_prompt_stays() -> None:
    conversation = talk(n_ctx=400, policy="drop")
    conversation.system = "Be brief."
    notices = []
    for number in range(40):
        notices += drain(conversation.ask(f"question {number}"))[2]
    assert len(conversation.turns) == 40
    notices = [notice for notice in notices if "no longer sees the oldest" in notice]
    assert notices
    prompt = last_prompt(conversation)
    shown = conversation.turns[conversation.n_dropped : -1]
    expected = "".join(f"[user]{turn.question.content[0]}[assistant]{turn.answer}" for turn in shown)
    assert prompt == f"[system]Be brief.{expected}[user]question 39[assistant]"
    assert len(notices) < 15  # not each turn


def test_a_question_that_is_too_long_by_itself_is_refused() -> None:
    conversation = talk(n_ctx=100, policy="drop")
    drain(conversation.ask("one"))
    with pytest.raises(ContextFullError, match="of 100; give less text"):
        drain(conversation.ask("x" * 200))
    assert len(conversation.turns) == 1


def test_pictures_shrink_under_one_cap(tmp_path: object) -> None:
    conversation = talk(n_ctx=400, policy="shrink")
    small, large = picture(256, 256, 1), picture(640, 640, 2)
    drain(conversation.ask(small, "one"))
    _, finished, notices = drain(conversation.ask(large, "two"))
    assert len(notices) == 1
    assert "smaller" in notices[0]
    (first, _), (second, _) = (turn.question.content for turn in conversation.turns)
    assert first is small
    assert isinstance(second, Picture)
    assert second.pixels.shape[0] == second.pixels.shape[1] < 640
    n_prompt = finished.tokens.text + finished.tokens.vision
    larger = (second.pixels.shape[0] // 32 + 1) ** 2 - (second.pixels.shape[0] // 32) ** 2
    assert 400 - 16 - larger < n_prompt <= 400 - 16
    with pytest.raises(ContextFullError, match="give fewer pictures"):
        for number in range(9):
            drain(conversation.ask(picture(256, 256, number), "more"))


def test_a_picture_that_shrinks_is_read_from_its_file_again(tmp_path: object) -> None:
    path = f"{tmp_path}/noise.png"
    rng = np.random.default_rng(5)
    Image.fromarray(rng.integers(0, 256, (700, 900, 3), np.uint8)).save(path)
    conversation = talk(n_ctx=400, policy="shrink")
    limits = conversation.engine.info.image_limits
    from pathlib import Path  # noqa: PLC0415

    drain(conversation.ask(load_picture(Path(path), limits), "one"))
    shown = conversation.turns[0].question.content[0]
    assert isinstance(shown, Picture)
    height, width, _ = shown.pixels.shape
    exact = np.asarray(Image.open(path).resize((width, height), Image.Resampling.BICUBIC))
    assert np.array_equal(shown.pixels, exact)


@pytest.mark.parametrize("seed", range(20))
def test_the_accounts_add_up_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    conversations = [talk(max_tokens=rng.choice([4, 16]))]
    engine = conversations[0].engine
    assert isinstance(engine, ScriptedEngine)
    for _ in range(60):
        conversation = rng.choice(conversations)
        move = rng.choice(["ask", "ask", "ask", "undo", "regenerate", "edit", "fork", "close"])
        if move == "ask":
            media = [picture(32 * rng.randrange(1, 4), 64, rng.randrange(3)) for _ in range(rng.randrange(2))]
            drain(conversation.ask(*media, f"q{rng.randrange(4)}"))
        elif move == "fork":
            conversations.append(conversation.fork())
        elif move == "close" and len(conversations) > 1:
            conversations.remove(conversation)
            conversation.close()
        elif conversation.turns and move == "undo":
            conversation.undo()
        elif conversation.turns and move == "regenerate":
            drain(conversation.regenerate())
        elif conversation.turns and move == "edit":
            drain(conversation.edit(f"e{rng.randrange(3)}"))
        expected = texts(conversation._parts(conversation.history, Message("user", ("?",))))
        cost = conversation.cost("?")
        assert cost.text == len(expected)
    unique = {id(entry): entry for one in conversations for entry in one.session._occupants.entries}  # type: ignore[attr-defined]
    assert engine.pool.n_used == sum(entry.n_cells for entry in unique.values())
    for conversation in conversations:
        occupants = conversation.session._occupants  # type: ignore[attr-defined]
        assert occupants.n_cells == sum(entry.n_cells for entry in occupants.entries)
        assert occupants.position == sum(entry.n_positions for entry in occupants.entries)
        conversation.close()
    assert engine.pool.n_used == 0
