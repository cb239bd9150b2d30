"""This project: a conversation that reads what is new."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from qwen3vl_edge.bundle import find_bundle
from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.images import load_picture
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import Finished, GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.sampling import Sampling
from tools.bench.conversation import ANSWER, N_CTX, N_THREADS, QUESTIONS, Setting, hold
from tools.bench.results import Latency

__all__ = ["ask", "greedy", "open_engine", "question"]


def contender(setting: Setting) -> Latency:
    """Ask twice."""
    with open_engine(setting) as engine:
        conversation = Conversation(engine, greedy(max_tokens=1))
        started = time.perf_counter()
        ask(conversation, setting, 0)
        asked_again = time.perf_counter()
        ask(conversation, setting, 1)
        return Latency(asked_again - started, time.perf_counter() - asked_again)


@contextmanager
def open_engine(setting: Setting) -> Iterator[LlamaEngine]:
    """Open the pair."""
    bundle = find_bundle(setting.model, setting.projector)
    with LlamaEngine(bundle, EngineSettings(n_ctx=N_CTX, n_threads=N_THREADS)) as engine:
        yield engine


def greedy(*, max_tokens: int) -> GenerateOptions:
    """Take the likeliest token, so many times."""
    return GenerateOptions(Sampling(temperature=0), max_tokens=max_tokens)


def ask(conversation: Conversation, setting: Setting, number: int) -> Finished:
    """Ask question `number`, counted from 0; in the next turn the answer is the one that is given to all."""
    events = list(conversation.ask(*question(conversation, setting, number)))
    history = conversation.history
    given = replace(history.turns[-1], answer=ANSWER)
    conversation.history = replace(history, turns=(*history.turns[:-1], given))
    return next(event for event in events if isinstance(event, Finished))


def question(conversation: Conversation, setting: Setting, number: int) -> tuple[Content, ...]:
    """Give question `number`, the first with the picture before it."""
    if number:
        return (QUESTIONS[number],)
    return (load_picture(setting.picture, conversation.engine.info.image_limits), QUESTIONS[0])


if __name__ == "__main__":
    hold(contender)
