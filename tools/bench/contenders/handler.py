"""llama-cpp-python's `Llama` with its `MTMDChatHandler`: it reads and encodes all of it in every turn."""

import time
from pathlib import Path

from llama_cpp import Llama
from llama_cpp.llama_chat_format import MTMDChatHandler

from tools.bench.conversation import N_CTX, N_THREADS, Setting, hold, messages
from tools.bench.results import Latency

__all__ = ["open_handled"]


def contender(setting: Setting) -> Latency:
    """Ask twice."""
    llama = open_handled(setting.model, setting.projector)
    return Latency(_ask(llama, setting.picture, 1), _ask(llama, setting.picture, 2))


def open_handled(model: Path, projector: Path) -> Llama:
    """Open a pair. Flash attention is asked for: without it the handler encodes more slowly."""
    return Llama(
        str(model),
        n_ctx=N_CTX,
        n_threads=N_THREADS,
        n_threads_batch=N_THREADS,
        flash_attn=True,
        chat_handler=MTMDChatHandler(str(projector), verbose=False),
        verbose=False,
    )


def _ask(llama: Llama, picture: Path, n_questions: int) -> float:
    started = time.perf_counter()
    llama.create_chat_completion(messages(picture, n_questions), temperature=0, max_tokens=1)
    return time.perf_counter() - started


if __name__ == "__main__":
    hold(contender)
