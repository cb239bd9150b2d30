"""This project: the session that ``ours_saving`` has saved is opened in a new process."""

import time

from qwen3vl_edge.chat import load_session
from tools.bench.contenders.ours import ask, greedy, open_engine
from tools.bench.conversation import Setting, hold
from tools.bench.results import Resumed


def contender(setting: Setting) -> Resumed:
    """Open the session and ask the second question."""
    with open_engine(setting) as engine:
        started = time.perf_counter()
        conversation, notices = load_session(setting.session, engine, greedy(max_tokens=1))
        if notices:
            raise RuntimeError(f"the session is not what was saved: {notices}")
        loaded = time.perf_counter()
        ask(conversation, setting, 1)
        return Resumed(loaded - started, time.perf_counter() - loaded)


if __name__ == "__main__":
    hold(contender)
