"""llama-cpp-python's `Llama` with its `MTMDChatHandler`, one picture after the other."""

import time

from llama_cpp import Llama
from llama_cpp.llama_chat_format import MTMDChatHandler

from tools.bench.contenders.captions_run import N_NEW, Captions, caption_all, messages
from tools.bench.conversation import N_CTX, N_THREADS
from tools.bench.results import Captioned


def contender(captions: Captions) -> Captioned:
    """Caption all; of random weights none comes to an end by itself, which is looked at."""
    llama = Llama(
        str(captions.model),
        n_ctx=N_CTX,
        n_threads=N_THREADS,
        n_threads_batch=N_THREADS,
        flash_attn=True,
        chat_handler=MTMDChatHandler(str(captions.projector), verbose=False),
        verbose=False,
    )
    started = time.perf_counter()
    for path in captions.pictures:
        answer = llama.create_chat_completion(
            messages(path), temperature=0, max_tokens=N_NEW, repeat_penalty=1.0
        )
        if answer["usage"]["completion_tokens"] != N_NEW:
            raise RuntimeError(f"{path.name}: the caption has ended by itself")
    return Captioned(len(captions.pictures), 1, time.perf_counter() - started)


if __name__ == "__main__":
    caption_all(contender)
