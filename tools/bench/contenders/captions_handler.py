"""llama-cpp-python's `Llama` with its `MTMDChatHandler`, one picture after the other."""

import time

from tools.bench.contenders.captions_run import N_NEW, Captions, caption_all, messages
from tools.bench.contenders.handler import open_handled
from tools.bench.results import Captioned


def contender(captions: Captions) -> Captioned:
    """Caption all; of random weights none comes to an end by itself, which is looked at."""
    llama = open_handled(captions.model, captions.projector)
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
