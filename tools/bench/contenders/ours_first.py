"""This project: the stages of one answer."""

from qwen3vl_edge.chat import Conversation
from tools.bench.contenders.ours import ask, greedy, open_engine
from tools.bench.conversation import MAX_TOKENS, Setting, hold
from tools.bench.results import FirstAnswer


def contender(setting: Setting) -> FirstAnswer:
    """Ask once; the first token of the answer comes with the prompt and takes no decoding."""
    with open_engine(setting) as engine:
        finished = ask(Conversation(engine, greedy(max_tokens=MAX_TOKENS)), setting, 0)
    counts, seconds = finished.tokens, finished.seconds
    n_prompt, n_decoded = counts.text + counts.vision, counts.generated - 1
    return FirstAnswer(seconds.encode, n_prompt / seconds.prefill, n_decoded / seconds.decode)


if __name__ == "__main__":
    hold(contender)
