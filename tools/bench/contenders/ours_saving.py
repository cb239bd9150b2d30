"""This project: one question, then the session is saved with what was read."""

import time

from qwen3vl_edge.chat import Conversation, save_session
from tools.bench.contenders.ours import ask, greedy, open_engine
from tools.bench.conversation import Setting, hold
from tools.bench.results import Saved


def contender(setting: Setting) -> Saved:
    """Ask once and save."""
    with open_engine(setting) as engine:
        conversation = Conversation(engine, greedy(max_tokens=1))
        ask(conversation, setting, 0)
        started = time.perf_counter()
        save_session(conversation, setting.session)
        return Saved(time.perf_counter() - started, setting.session.stat().st_size)


if __name__ == "__main__":
    hold(contender)
