"""This project and llama-server, open at once and asked in turn: other work on the machine slows both."""

import time

from qwen3vl_edge.chat import Conversation
from tools.bench.contenders import ours, server
from tools.bench.conversation import QUESTIONS, Setting, hold
from tools.bench.results import SideBySide

_N_CONVERSATIONS = 3


def contender(setting: Setting) -> SideBySide:
    """Hold the whole conversation several times; the first questions, which encode, do not count."""
    own: list[float] = []
    theirs: list[float] = []
    with ours.open_engine(setting) as engine, server.open_server(setting) as client:
        for _ in range(_N_CONVERSATIONS):
            conversation = Conversation(engine, ours.greedy(max_tokens=1))
            ours.ask(conversation, setting, 0)
            server.ask(client, setting.picture, 1)
            for number in range(1, len(QUESTIONS)):
                started = time.perf_counter()
                ours.ask(conversation, setting, number)
                own.append(time.perf_counter() - started)
                theirs.append(server.ask(client, setting.picture, number + 1))
            conversation.close()
    return SideBySide(own, theirs)


if __name__ == "__main__":
    hold(contender)
