"""What the worker is told before anything else: which model, how to open it, and what to ask of each file."""

from dataclasses import dataclass, replace
from pathlib import Path

from qwen3vl_edge.captions.prompts import Prompt, check_prompts, check_template
from qwen3vl_edge.captions.values import Kind
from qwen3vl_edge.clips import DEFAULT_OPTIONS, ClipOptions
from qwen3vl_edge.constraints import from_grammar
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.limits import MediaLimits
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.engine_settings import DEFAULT_SETTINGS, EngineSettings

__all__ = ["WorkerSettings"]

_DEFAULT_LIMITS = MediaLimits()
_MOST_MEASURED = 32  # sequences, by `Engine.choose_parallel`
_CACHE_BYTES = 64 << 20  # encoder outputs, where no other prompt will want them


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """All that a worker needs to know.

    ``model`` and ``projector`` are the files of a verified pair. Each of the ``prompts`` is asked of each
    file, under ``options`` but for what the prompt itself says. ``n_parallel``, which overrules that of
    ``engine``, is how many run at once; None lets the worker measure what is best, up to ``n_files``
    times the prompts, if it is known that there are no more files. ``n_readers`` threads read files ahead;
    pictures that wait take at most ``ahead_bytes``, and one a thread.

    Raises:
        UsageError: There is no prompt, two have one name, one cannot be filled in, or a number is out of
            range.
    """

    model: Path
    projector: Path
    prompts: tuple[Prompt, ...]
    options: GenerateOptions
    system: str | None = None
    engine: EngineSettings = DEFAULT_SETTINGS
    clip_options: ClipOptions = DEFAULT_OPTIONS
    limits: MediaLimits = _DEFAULT_LIMITS
    n_parallel: int | None = None
    n_files: int | None = None
    n_readers: int = 2
    ahead_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        check_prompts(self.prompts)
        for prompt in self.prompts:
            check_template(prompt.picture)
            check_template(prompt.clip)
        if self.n_readers < 1:
            raise UsageError(f"{self.n_readers} readers are wanted; ask for 1 or more")
        self.opening()  # refuses numbers of sequences

    def opening(self) -> EngineSettings:
        """Give how to open the model: with room for all that may run at once.

        With one prompt, few encoder outputs are kept: each picture is encoded for that prompt alone.
        """
        n_parallel = self.n_parallel
        if n_parallel is None:
            n_jobs = _MOST_MEASURED if self.n_files is None else self.n_files * len(self.prompts)
            n_parallel = max(1, min(n_jobs, _MOST_MEASURED))
        cache_bytes = self.engine.cache_ram_bytes
        if len(self.prompts) == 1:
            cache_bytes = min(cache_bytes, _CACHE_BYTES)
        return replace(self.engine, n_parallel=n_parallel, cache_ram_bytes=cache_bytes)

    def templates(self, kind: Kind) -> tuple[str, ...]:
        """Give what is asked of a file of this kind, before it is filled in."""
        return tuple(prompt.picture if kind == "picture" else prompt.clip for prompt in self.prompts)

    def options_of_prompts(self) -> tuple[GenerateOptions, ...]:
        """Give the options of each prompt.

        Raises:
            UsageError: A prompt's grammar cannot be followed, or its length contradicts the options.
        """
        return tuple(map(self._options_of, self.prompts))

    def _options_of(self, prompt: Prompt) -> GenerateOptions:
        constraint = self.options.constraint if prompt.grammar is None else from_grammar(prompt.grammar)
        return replace(self.options, max_tokens=prompt.max_tokens, constraint=constraint)
