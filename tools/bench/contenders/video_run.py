"""What the contenders of the clip have in common."""

import time

from qwen3vl_edge.ask import load_media
from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import Finished
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from tools.bench.contenders.ours import greedy
from tools.bench.conversation import N_THREADS, QUESTIONS, Setting
from tools.bench.results import AboutClip

__all__ = ["N_CTX", "PEER_FPS", "ask_twice"]

PEER_FPS = 4.0
"""llama.cpp 0c1e57098, ``common/common.h``: ``video_fps``."""
N_CTX = 32_768


def ask_twice(setting: Setting, fps: float | None) -> AboutClip:
    """Ask two questions about the clip, each answered by one token."""
    bundle = find_bundle(setting.model, setting.projector)
    with LlamaEngine(bundle, EngineSettings(n_ctx=N_CTX, n_threads=N_THREADS)) as engine:
        conversation = Conversation(engine, greedy(max_tokens=1))
        started = time.perf_counter()
        content = load_media(engine.info, [], [setting.picture], ClipOptions(fps=fps))
        finished = _ask(conversation, (*content, QUESTIONS[0]))
        asked_again = time.perf_counter()
        _ask(conversation, (QUESTIONS[1],))
        second_s = time.perf_counter() - asked_again
        clip = content[0]
        if not isinstance(clip, Clip):
            raise TypeError(f"{setting.picture} was loaded as {type(clip).__name__}")
        return AboutClip(
            n_frames=len(set(clip.plan.indices)),
            n_prompt=finished.tokens.text + finished.tokens.vision,
            encode_s=finished.seconds.encode,
            first_s=asked_again - started,
            second_s=second_s,
        )


def _ask(conversation: Conversation, content: tuple[Content, ...]) -> Finished:
    return next(event for event in conversation.ask(*content) if isinstance(event, Finished))
