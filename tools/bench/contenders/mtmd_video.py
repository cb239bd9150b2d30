"""llama-mtmd-cli: one question about a clip, as its helper shows it; needs ffmpeg and ffprobe."""

import re
import subprocess
import time

from tools import peers
from tools.bench.contenders.video_run import N_CTX
from tools.bench.conversation import N_THREADS, QUESTIONS, Setting, hold
from tools.bench.results import AboutClip

# llama.cpp 0c1e57098: tools/mtmd/mtmd-cli.cpp, tools/mtmd/clip.cpp, src/llama-context.cpp
_ENCODE = re.compile(r"(?:batch encoding done|image slice encoded|encoded) in (\d+) ms")
_PREFILL = re.compile(r"prompt eval time = +[\d.]+ ms / +(\d+) tokens")


def contender(setting: Setting) -> AboutClip:
    """Ask once; a second question would be another run, and cost as much."""
    command = [
        str(peers.find("llama-mtmd-cli")),
        *("--model", str(setting.model), "--mmproj", str(setting.projector)),
        *("--video", str(setting.picture), "--prompt", QUESTIONS[0]),
        *("--ctx-size", str(N_CTX), "--threads", str(N_THREADS), "--predict", "1", "--temp", "0"),
        *("--no-warmup", "--verbosity", "4"),
    ]
    started = time.perf_counter()
    said = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stderr
    seconds = time.perf_counter() - started
    encoded = [int(found) for found in _ENCODE.findall(said)]
    prompt = _PREFILL.search(said)
    if not encoded or prompt is None:
        raise RuntimeError("llama-mtmd-cli does not tell its times; is it another version?")
    return AboutClip(2 * len(encoded), int(prompt[1]), sum(encoded) / 1000, seconds, seconds)


if __name__ == "__main__":
    hold(contender)
