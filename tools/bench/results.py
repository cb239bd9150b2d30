"""What contenders tell of themselves, and how it is read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

__all__ = [
    "AboutClip",
    "Captioned",
    "FirstAnswer",
    "Latency",
    "Result",
    "Resumed",
    "Saved",
    "SideBySide",
    "Turns",
]


@dataclass(frozen=True)
class Result:
    """What a contender tells, kept in a file as JSON."""

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Latency(Result):
    """Seconds from the first and from the second question to an answer of one token.

    The pair is open before the first; what a contender makes when it is first needed counts there.
    """

    first_s: float
    second_s: float


@dataclass(frozen=True)
class SideBySide(Result):
    """Seconds from each further question to an answer of one token: ours, and llama-server's right after."""

    ours_s: list[float]
    theirs_s: list[float]


@dataclass(frozen=True)
class Saved(Result):
    """Seconds to save a session of one question with what was read, and the file's size."""

    save_s: float
    n_bytes: int


@dataclass(frozen=True)
class Resumed(Result):
    """Seconds to open a saved session, and from the second question to an answer of one token."""

    load_s: float
    second_s: float


@dataclass(frozen=True)
class Turns(Result):
    """Tokens read in all turns of a conversation, and those that were new in them."""

    n_turns: int
    prefilled: int
    new: int


@dataclass(frozen=True)
class FirstAnswer(Result):
    """The stages of one answer: seconds in the encoder, tokens a second read and written."""

    encode_s: float
    prefill_per_s: float
    decode_per_s: float


@dataclass(frozen=True)
class AboutClip(Result):
    """A first and a second question about a clip: what was shown, seconds in the encoder and to one token."""

    n_frames: int
    n_prompt: int
    encode_s: float
    first_s: float
    second_s: float


@dataclass(frozen=True)
class Captioned(Result):
    """Captions of a folder: wall time of all, and of it the steps, as far as they are told."""

    n_pictures: int
    n_parallel: int
    seconds: float
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    choose_s: float = 0.0

    @property
    def per_minute(self) -> float:
        """Pictures."""
        return 60 * self.n_pictures / self.seconds
