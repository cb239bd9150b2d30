"""llama-mtmd-cli, started once a picture."""

import subprocess
import time

from tools import peers
from tools.bench.contenders.captions_run import N_NEW, PROMPT, Captions, caption_all
from tools.bench.conversation import N_CTX, N_THREADS
from tools.bench.results import Captioned


def contender(captions: Captions) -> Captioned:
    """Caption all; each run opens the pair, without an encoding for nothing before."""
    files = ["--model", str(captions.model), "--mmproj", str(captions.projector)]
    sizes = ["--ctx-size", str(N_CTX), "--threads", str(N_THREADS), "--predict", str(N_NEW), "--ignore-eos"]
    rest = ["--temp", "0", "--prompt", PROMPT, "--no-warmup"]
    command = [str(peers.find("llama-mtmd-cli")), *files, *sizes, *rest]
    started = time.perf_counter()
    for path in captions.pictures:
        subprocess.run([*command, "--image", str(path)], capture_output=True, check=True)
    return Captioned(len(captions.pictures), 1, time.perf_counter() - started)


if __name__ == "__main__":
    caption_all(contender)
