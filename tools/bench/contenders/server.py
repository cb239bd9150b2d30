"""llama-server with prompt caching, asked over HTTP."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tools import peers
from tools.bench.conversation import N_CTX, N_THREADS, Setting, hold, messages
from tools.bench.results import Latency

__all__ = ["ask", "open_server"]

_START_S = 120
_POLL_S = 0.1


def contender(setting: Setting) -> Latency:
    """Ask twice; the server has warmed up before."""
    with open_server(setting) as client:
        return Latency(ask(client, setting.picture, 1), ask(client, setting.picture, 2))


def ask(client: httpx2.Client, picture: Path, n_questions: int) -> float:
    """Ask the last of the first `n_questions`; returns the seconds to an answer of one token."""
    started = time.perf_counter()
    request = {"messages": messages(picture, n_questions), "temperature": 0, "max_tokens": 1}
    client.post("/v1/chat/completions", json={**request, "cache_prompt": True}).raise_for_status()
    return time.perf_counter() - started


@contextmanager
def open_server(setting: Setting, n_slots: int = 1, n_ctx: int = N_CTX) -> Iterator[httpx2.Client]:
    """Run a server until the block ends: so many slots, `n_ctx` cells for all of them, a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    files = ["--model", str(setting.model), "--mmproj", str(setting.projector)]
    sizes = ["--ctx-size", str(n_ctx), "--threads", str(N_THREADS), "--parallel", str(n_slots)]
    command = [str(peers.find("llama-server")), *files, *sizes, "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
                _wait(client, process)
                yield client
        finally:
            process.kill()  # it has nothing to put in order


def _wait(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    """Wait until the model is loaded."""
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if client.get("/health").is_success:
                return
        except httpx2.TransportError:  # it does not listen yet
            pass
        time.sleep(_POLL_S)
    raise RuntimeError(f"llama-server does not answer (exit code {process.poll()})")


if __name__ == "__main__":
    hold(contender)
