"""llama-mtmd-cli: the stages of one answer, as it tells them itself."""

import re
import subprocess

from tools import peers
from tools.bench.conversation import MAX_TOKENS, N_CTX, N_THREADS, QUESTIONS, Setting, hold
from tools.bench.results import FirstAnswer

# llama.cpp 0c1e57098: tools/mtmd/mtmd-cli.cpp, and llama_perf_context_print in src/llama-context.cpp
_ENCODE = re.compile(r"batch encoding done in (\d+) ms")
_PREFILL = re.compile(r"prompt eval time = +([\d.]+) ms / +(\d+) tokens")
_DECODE = re.compile(r" eval time = +([\d.]+) ms / +(\d+) runs")
_LEVEL = "4"  # of its log: the library's times are told


def contender(setting: Setting) -> FirstAnswer:
    """Ask once, with no context larger than ours and without an encoding for nothing before."""
    files = [
        "--model",
        str(setting.model),
        "--mmproj",
        str(setting.projector),
        "--image",
        str(setting.picture),
    ]
    sizes = [
        "--ctx-size",
        str(N_CTX),
        "--threads",
        str(N_THREADS),
        "--predict",
        str(MAX_TOKENS),
        "--temp",
        "0",
    ]
    rest = ["--prompt", QUESTIONS[0], "--no-warmup", "--verbosity", _LEVEL]
    command = [str(peers.find("llama-mtmd-cli")), *files, *sizes, *rest]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stderr
    encode_ms = _numbers(_ENCODE, said)[0]
    prefill_ms, n_prompt = _numbers(_PREFILL, said)
    decode_ms, n_decoded = _numbers(_DECODE, said)
    # the library's clock runs from the text before the picture to the end of the prompt, through the encoding
    prefill_ms -= encode_ms
    return FirstAnswer(encode_ms / 1000, 1000 * n_prompt / prefill_ms, 1000 * n_decoded / decode_ms)


def _numbers(pattern: re.Pattern[str], said: str) -> list[float]:
    found = pattern.search(said)
    if found is None:
        raise RuntimeError(f"llama-mtmd-cli does not tell {pattern.pattern!r}; is it another version?")
    return [float(number) for number in found.groups()]


if __name__ == "__main__":
    hold(contender)
