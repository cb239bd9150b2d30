"""llama-server with so many slots, and as many clients that ask over HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tools.bench.contenders.captions_run import N_NEW, Captions, caption_all, messages
from tools.bench.contenders.server import open_server
from tools.bench.conversation import Setting
from tools.bench.results import Captioned

_CELLS = 512  # of a slot: more than a prompt and its caption


def contender(captions: Captions) -> Captioned:
    """Caption all; the server has warmed up before."""
    setting = Setting(captions.model, captions.projector, captions.folder)
    with (
        open_server(setting, n_slots=captions.n_parallel, n_ctx=_CELLS * captions.n_parallel) as client,
        ThreadPoolExecutor(captions.n_parallel) as clients,
    ):
        started = time.perf_counter()
        counts = list(clients.map(lambda path: _ask(client, path), captions.pictures))
        seconds = time.perf_counter() - started
    if set(counts) != {N_NEW}:
        raise RuntimeError(f"llama-server has written {sorted(set(counts))} tokens")
    return Captioned(len(counts), captions.n_parallel, seconds)


def _ask(client: httpx2.Client, picture: Path) -> int:
    """Give the tokens of the caption."""
    request = {"messages": messages(picture), "temperature": 0, "max_tokens": N_NEW, "ignore_eos": True}
    answer = client.post("/v1/chat/completions", json={**request, "cache_prompt": True})
    count: int = answer.raise_for_status().json()["usage"]["completion_tokens"]
    return count


if __name__ == "__main__":
    caption_all(contender)
