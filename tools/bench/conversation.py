"""What every contender is asked, with which settings.

The answers in between are given, the same for all: what a model with random weights says need not become the
same tokens when it is read again, and then each contender would have another amount to read.
"""

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from qwen3vl_edge.runtime.threads import default_threads
from tools.bench.results import Result

if TYPE_CHECKING:  # llama-server's process need not load the library
    from llama_cpp.llama_types import (
        ChatCompletionRequestMessage,
        ChatCompletionRequestMessageContentPartImage,
    )

__all__ = [
    "ANSWER",
    "MAX_TOKENS",
    "N_CTX",
    "N_THREADS",
    "QUESTIONS",
    "Setting",
    "draw_picture",
    "hold",
    "messages",
]

QUESTIONS = (
    "Describe this image.",
    "Which colours are the brightest, and where are they?",
    "Is there any text in it?",
    "What would you see to the left of it?",
    "Count the objects in the upper half.",
    "Which of them is the largest?",
    "How was the light when it was taken?",
    "Give it a title of three words.",
    "What is odd about it?",
    "Say all of this in one sentence.",
)
ANSWER = "The picture shows a smooth field of colours from dark to bright, with grain all over it."
MAX_TOKENS = 32
"""Of the answer whose stages are timed."""
N_CTX = 4096
N_THREADS = default_threads()

_SIDE_PX = 512  # 16 × 16 tokens: nothing to resize or pad for anybody
_SEED = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """The files that the conversation is about."""

    model: Path
    projector: Path
    picture: Path

    @property
    def arguments(self) -> list[str]:
        """As a contender takes them."""
        return [str(self.model), str(self.projector), str(self.picture)]

    @property
    def session(self) -> Path:
        """Where a session is saved."""
        return self.picture.with_name("session")


def draw_picture(path: Path) -> None:
    """Draw the picture: gradients with noise, always the same."""
    ramp = np.linspace(0, 200, _SIDE_PX)
    red, green = np.meshgrid(ramp, ramp)
    colours = np.stack([red, green, 200 - (red + green) / 2], axis=-1)  # (H, W, 3)
    noise = np.random.default_rng(_SEED).integers(0, 56, colours.shape)
    Image.fromarray((colours + noise).astype(np.uint8)).save(path)


def messages(picture: Path, n_questions: int) -> "list[ChatCompletionRequestMessage]":
    """Give the conversation up to its `n_questions`-th question, the picture before the first.

    In OpenAI's chat API, which llama-server and llama-cpp-python speak.
    """
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    found: list[ChatCompletionRequestMessage] = []
    for question in QUESTIONS[:n_questions]:
        if found:
            found.append({"role": "assistant", "content": ANSWER})
            found.append({"role": "user", "content": question})
        else:
            shown: ChatCompletionRequestMessageContentPartImage = {
                "type": "image_url",
                "image_url": {"url": url},
            }
            found.append({"role": "user", "content": [shown, {"type": "text", "text": question}]})
    return found


def hold(contender: Callable[[Setting], Result]) -> None:
    """Run `contender` on the files that the command line names, and write what it tells into the last."""
    *files, result = map(Path, sys.argv[1:])
    contender(Setting(*files)).write(result)
