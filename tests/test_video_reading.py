"""Clips on their way through the engine: decoded as they are read, never twice, never all at once."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge.ask import load_media
from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.chat import Conversation, load_session, save_session
from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import MediaError, SessionError
from qwen3vl_edge.images import Pixels, VisionPart
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import GREEDY
from qwen3vl_edge.video.capture import Capture
from tests.test_video import write_clip

SETTINGS = EngineSettings(n_threads=2)
OPTIONS = GenerateOptions(GREEDY, 2)


class Bars:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int | None]] = []
        self.n_done = 0

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator["Bars"]:
        self.tasks.append((description, total))
        self.n_done = 0
        yield self

    def advance(self, amount: int = 1) -> None:
        self.n_done += amount


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 65)


def asked(engine: LlamaEngine, film: Path) -> np.ndarray:
    (clip,) = load_media(engine.info, [], [film])
    parts = engine.info.template.parts([Message("user", (clip, "What happens?"))])
    session = engine.open_session()
    try:
        return session.next_logits(parts)
    finally:
        session.close()


def test_a_clip_asked_about_again_is_neither_decoded_nor_encoded(
    tiny_bundle: Bundle, tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, cache_folder=tmp_path / "media")
    shown: list[int] = []
    retrieve = Capture.retrieve
    monkeypatch.setattr(Capture, "retrieve", lambda self: shown.append(self.number) or retrieve(self))
    with LlamaEngine(tiny_bundle, settings) as engine:
        first = asked(engine, film)
        n_decoded = len(shown)
        again = asked(engine, film)
    with LlamaEngine(tiny_bundle, settings) as engine:
        (clip,) = load_media(engine.info, [], [film])
        parts = engine.info.template.parts([Message("user", (clip, "What happens?"))])
        assert engine.open_session().cost(parts).encode == 0
        next_day = asked(engine, film)
    assert n_decoded > 8
    assert shown[n_decoded:] == [0] * 3  # the size of the first frame, once for each plan
    assert np.array_equal(first, again)
    assert np.array_equal(first, next_day)


def test_frames_are_gone_when_the_next_ones_come(
    tiny_bundle: Bundle, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Pixels]] = []
    most = 0
    frames = VisionPart.frames.fget
    assert frames is not None

    def counted(part: VisionPart) -> tuple[Pixels, ...]:
        nonlocal most
        pair = frames(part)
        alive.extend(map(weakref.ref, pair))
        most = max(most, sum(reference() is not None for reference in alive))
        return pair

    monkeypatch.setattr(VisionPart, "frames", property(counted))
    with LlamaEngine(tiny_bundle, SETTINGS) as engine:
        asked(engine, film)
    assert len(alive) >= 8
    assert most <= 4


def test_the_encoder_tells_how_far_it_is(tiny_bundle: Bundle, film: Path) -> None:
    bars = Bars()
    with LlamaEngine(tiny_bundle, SETTINGS, bars) as engine:
        asked(engine, film)
        assert bars.tasks[-1] == ("encoding", 8)
        assert bars.n_done == 8


def test_what_fails_while_it_is_read_leaves_the_session_usable(tiny_bundle: Bundle, film: Path) -> None:
    with LlamaEngine(tiny_bundle, SETTINGS) as engine:
        conversation = Conversation(engine, OPTIONS)
        (clip,) = load_media(engine.info, [], [film])
        film.unlink()
        with pytest.raises(MediaError, match="cannot be read any more"):
            list(conversation.ask(clip, "What happens?"))
        assert conversation.turns == ()
        assert len(list(conversation.ask("And now?"))) > 0


def test_a_session_shows_a_clip_as_it_was_shown(tiny_bundle: Bundle, film: Path, tmp_path: Path) -> None:
    wanted = ClipOptions(fps=4.0, start_s=1.0, end_s=6.0, max_frame_tokens=3)
    with LlamaEngine(tiny_bundle, SETTINGS) as engine:
        conversation = Conversation(engine, OPTIONS)
        list(conversation.ask(*load_media(engine.info, [], [film], wanted), "What happens?"))
        save_session(conversation, tmp_path / "talk.q3vl")
        taken_up, _ = load_session(tmp_path / "talk.q3vl", engine, OPTIONS)
        (shown, _) = taken_up.turns[0].question.content
        assert isinstance(shown, Clip)
        assert shown.options == wanted
        assert shown.plan.indices[0] == 8
        write_clip(film, 40)
        with pytest.raises(SessionError, match="has changed since"):
            load_session(tmp_path / "talk.q3vl", engine, OPTIONS)
