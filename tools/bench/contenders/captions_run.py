"""What the contenders of the captions have in common.

``python -m tools.bench.contenders.NAME MODEL PROJECTOR FOLDER N_PARALLEL RESULT`` captions the pictures in
FOLDER.
"""

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench.conversation import QUESTIONS
from tools.bench.results import Captioned

if TYPE_CHECKING:
    from llama_cpp.llama_types import ChatCompletionRequestMessage

__all__ = ["N_NEW", "PROMPT", "Captions", "caption_all", "messages"]

N_NEW = 64
"""Tokens of every caption; that one could end sooner is not asked."""
PROMPT = QUESTIONS[0]


@dataclass(frozen=True, slots=True)
class Captions:
    """What is to be captioned, by whom, and how many at once."""

    model: Path
    projector: Path
    folder: Path
    n_parallel: int

    @property
    def pictures(self) -> list[Path]:
        """In order."""
        return sorted(self.folder.glob("*.png"))


def messages(picture: Path) -> "list[ChatCompletionRequestMessage]":
    """Ask for a caption in OpenAI's chat API."""
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    return [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": PROMPT}],
        }
    ]


def caption_all(contender: Callable[[Captions], Captioned]) -> None:
    """Run `contender` on what the command line names."""
    model, projector, folder, n_parallel, result = sys.argv[1:]
    told = contender(Captions(Path(model), Path(projector), Path(folder), int(n_parallel)))
    told.write(Path(result))
