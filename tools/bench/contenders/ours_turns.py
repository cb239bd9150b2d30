"""This project: a conversation of all the questions; what was read is counted."""

from qwen3vl_edge.chat import Conversation
from qwen3vl_edge.runtime.engine import TokenCounts
from tools.bench.contenders.ours import ask, greedy, open_engine
from tools.bench.conversation import QUESTIONS, Setting, hold
from tools.bench.results import Turns

_MAX_TOKENS = 4


def contender(setting: Setting) -> Turns:
    """Ask everything.

    The last prompt holds all questions and answers and so is the sum of what was new in each turn.
    """
    with open_engine(setting) as engine:
        conversation = Conversation(engine, greedy(max_tokens=_MAX_TOKENS))
        counts = [ask(conversation, setting, number).tokens for number in range(len(QUESTIONS))]
    return Turns(len(counts), sum(_prompt(turn) - turn.reused for turn in counts), _prompt(counts[-1]))


def _prompt(counts: TokenCounts) -> int:
    return counts.text + counts.vision


if __name__ == "__main__":
    hold(contender)
