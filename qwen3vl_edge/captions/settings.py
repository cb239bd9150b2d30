"""How a run captions: what is told the worker, what becomes of its answers, and what is done with both."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from qwen3vl_edge.captions.modes import JOINING, Mode
from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.values import Answer
from qwen3vl_edge.captions.wire_settings import settings_to_json
from qwen3vl_edge.captions.wording import Wording
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.constraints import AnswerError, Constraint

__all__ = ["ModelNames", "RunSettings"]

_NOT_IN_CAPTIONS = (
    *("model", "projector", "engine", "limits"),
    *("n_parallel", "n_files", "n_readers", "ahead_bytes"),
)


@dataclass(frozen=True, slots=True)
class ModelNames:
    """What records say of the model; ``identity`` tells its files from all others, whatever their names."""

    name: str
    quantization: str
    identity: str


@dataclass(frozen=True)
class RunSettings:
    """All that decides which items are captioned, and how.

    ``separator`` stands between an old and a new caption (`modes.joined`). ``retry_failed`` takes up what
    failed before under the same settings. ``tags_suffix`` is that of the files beside the pictures that
    ``{tags}`` comes from. ``version`` is this package's.
    """

    worker: WorkerSettings
    model: ModelNames
    version: str
    wording: Wording = field(default_factory=Wording)
    mode: Mode = "skip"
    separator: str | None = None
    retry_failed: bool = False
    tags_suffix: str | None = None

    @cached_property
    def options_json(self) -> str:
        """Everything but the model that can change a caption, as JSON with sorted keys.

        Not in it: what changes how fast captions come, or which files have none; ``skip``, ``fill`` and
        ``overwrite``, which make the same ones; and the version, so that an update of this package does
        not caption everything anew.
        """
        worker = settings_to_json(self.worker)
        kept = {key: value for key, value in worker.items() if key not in _NOT_IN_CAPTIONS}
        kept |= {"kv_type": self.worker.engine.kv_type, "wording": asdict(self.wording)}
        kept |= {"tags_suffix": self.tags_suffix} if self.names("tags") else {}
        if self.mode in JOINING:
            kept |= {"mode": self.mode, "separator": self.separator}
        return json.dumps(kept, sort_keys=True)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of what decides the captions: an item that has one under the same is done."""
        return hashlib.sha256(f"{self.model.identity}\n{self.options_json}".encode()).digest()

    @cached_property
    def _forms(self) -> tuple[Constraint | None, ...]:
        return tuple(options.constraint for options in self.worker.options_of_prompts())

    def fault(self, answers: Sequence[Answer]) -> str | None:
        """Say which of the answers to the prompts has not the form that was asked for; None if all have it.

        One that was cut off, as too long, before it could be closed, may not have it.
        """
        for form, answer in zip(self._forms, answers, strict=False):
            try:
                if form is not None:
                    form.check(answer.text)
            except AnswerError as error:
                return str(error)
        return None

    def wording_of(self, prompt: Prompt) -> Wording:
        """Give how answers to `prompt` are worded."""
        return replace(self.wording, keep_openings=self.wording.keep_openings or prompt.is_copy)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What is asked of each file."""
        return self.worker.prompts

    def names(self, name: str) -> bool:
        """Tell whether a prompt names the field `name`."""
        return any(f"{{{name}}}" in text for prompt in self.prompts for text in (prompt.picture, prompt.clip))
