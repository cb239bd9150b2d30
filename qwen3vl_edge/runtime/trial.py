"""Does this pair answer? ``python -P -m qwen3vl_edge.runtime.trial MODEL.gguf PROJECTOR.gguf``.

Runs in a process of its own (`qwen3vl_edge.verification` starts it): damaged weights can crash llama.cpp.
The last line of stdout is one JSON object: ``ok``, ``reason`` (null if ok), ``n_tokens`` of the prompt,
``top_id`` (the likeliest next token, null without one), ``seconds``. Exit status 0 if ok, 1 if not.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.images import Picture
from qwen3vl_edge.limits import ImageLimits, smart_resize
from qwen3vl_edge.messages import Message
from qwen3vl_edge.runtime.child import leave_no_core_file
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.placement import Placement

__all__ = ["Report", "gradient", "judge", "main", "try_pair"]


# a verification is of the files: it depends neither on a driver nor on a guess at memory
_SETTINGS = EngineSettings(placement=Placement("cpu"), check_memory=False)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the trial; `n_tokens` is 0 and `top_id` None where it did not come that far."""

    ok: bool
    reason: str | None
    n_tokens: int
    top_id: int | None
    seconds: float


def gradient(limits: ImageLimits) -> Picture:
    """Draw a picture of the least size that the model is shown: red grows to the right, green downwards."""
    height, width = smart_resize(limits.factor, limits.factor, limits)
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[:, :, 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    return Picture(pixels, "gradient")


def judge(logits: NDArray[np.float32]) -> str | None:
    """Give the reason to distrust a model with these logits, shape (n_vocab,), or None."""
    n_wrong = int(np.count_nonzero(~np.isfinite(logits)))
    if n_wrong:
        return f"{n_wrong} of {logits.size} logits are not finite; some weights are NaN, infinite or damaged"
    if np.all(logits == logits[0]):
        return f"all {logits.size} logits are equal; the weights are damaged"
    return None


def try_pair(model: Path, projector: Path) -> Report:
    """Open the pair and read one question about one picture, the way that `qwen3vl_edge.ask` does."""
    start = time.perf_counter()
    n_tokens, top_id = 0, None
    try:
        with LlamaEngine(Bundle(model.parent, model, projector, None), _SETTINGS) as engine:
            question = Message("user", (gradient(engine.info.image_limits), "Describe this image."))
            parts = engine.info.template.parts([question])
            n_tokens = sum(engine.count(parts))
            logits = engine.next_logits(parts)
        reason = judge(logits)
        top_id = None if reason else int(logits.argmax())
    except EdgeError as error:
        reason = str(error)
    return Report(reason is None, reason, n_tokens, top_id, round(time.perf_counter() - start, 3))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the child process; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m qwen3vl_edge.runtime.trial", description="Try a language model and its projector."
    )
    parser.add_argument("model", type=Path, help="GGUF file of the language model, the first if it is split")
    parser.add_argument("projector", type=Path, help="GGUF file of the projector")
    options = parser.parse_args(arguments)
    leave_no_core_file()
    report = try_pair(options.model, options.projector)
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
