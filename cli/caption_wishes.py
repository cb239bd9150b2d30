"""All options of `caption`, and the run that they ask for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from qwen3vl_edge.captions.journal import Journal
from qwen3vl_edge.captions.model_facts import model_names, stored_sampling
from qwen3vl_edge.captions.settings import RunSettings
from qwen3vl_edge.captions.sink import Sink
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import ConstraintOptions
from qwen3vl_edge.cli.caption_inputs import FileChoice
from qwen3vl_edge.cli.caption_outputs import Outputs, Places
from qwen3vl_edge.cli.caption_questions import CaptionLength, Questions, WordingOptions
from qwen3vl_edge.cli.caption_run import Printed, Watched, caption_items
from qwen3vl_edge.cli.caption_running import RunningOptions
from qwen3vl_edge.cli.clip_options import ClipChoice
from qwen3vl_edge.cli.engine_options import EngineOptions
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.progress import Progress

__all__ = ["Wishes"]

_STDOUT = "-"
_FEW = 32  # files, of which not as many are captioned at once as might pay


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user typed, group by group."""

    model: str
    files: FileChoice
    questions: Questions
    form: ConstraintOptions
    wording: WordingOptions
    outputs: Outputs
    running: RunningOptions
    clips: ClipChoice
    answer: CaptionLength
    engine: EngineOptions

    def check(self, paths: Sequence[Path]) -> None:
        """Check that there is something to caption, before anything else is looked at.

        Raises:
            UsageError: There is not, or two options write to one file.
        """
        self.files.check(paths)
        written = [("-o", name) for name in self.outputs.output or ()]
        written += [("--journal", str(self.outputs.journal or _STDOUT))]
        written += [("--log", self.running.log or _STDOUT), ("--events", self.running.events or _STDOUT)]
        options: dict[str, str] = {}
        for option, name in written:
            first = options.setdefault(os.path.realpath(name), option) if name != _STDOUT else option
            if first != option:
                raise UsageError(f"{first} and {option} both write to {name}; name different files")

    def settings(self, paths: Sequence[Path], progress: Progress) -> RunSettings:
        """Give how to caption: all that can be wrong with the options, and the model's files, is said here.

        Args:
            paths: What is captioned.
            progress: Told of the conversion of the demo model.

        Raises:
            UsageError: An option makes no sense, alone or with others.
            GGUFError: A file of the model is damaged or missing.
        """
        prompts = self.questions.prompts(self.answer.max_tokens, self.form)
        tags_suffix = self.questions.tags_suffix(prompts)
        wording, limits, engine = self.wording.wording(), self.files.limits(), self.engine.settings()
        clip_options, n_parallel = self.clips.options(), self.running.n_parallel
        self.running.patience()
        if all(prompt.structured for prompt in prompts):
            self.wording.check_unused()
        bundle = options.find_model(self.model, self.engine.mmproj, progress)
        worker = WorkerSettings(
            model=bundle.model,
            projector=bundle.projector,
            prompts=prompts,
            options=self.answer.generate_options(stored_sampling(bundle), self.form),
            system=self.questions.system,
            engine=engine,
            clip_options=clip_options,
            limits=limits,
            n_parallel=n_parallel,
            n_files=self.files.few(paths, _FEW),
        )
        worker.options_of_prompts()
        return RunSettings(
            worker=worker,
            model=model_names(bundle),
            version=version("qwen3vl-edge"),
            wording=wording,
            mode=self.outputs.mode,
            separator=self.outputs.between,
            retry_failed=self.outputs.retry_failed,
            tags_suffix=tags_suffix,
        )

    def printed(self, places: Places) -> Printed:
        """Give what of captions goes to standard output."""
        if not places.prints:
            return "nothing"
        return "json" if self.outputs.json else "lines"

    def caption(
        self,
        paths: Sequence[Path],
        settings: RunSettings,
        journal: Journal,
        sinks: Sequence[Sink],
        watched: Watched,
    ) -> int:
        """Caption what is found at `paths`; returns the exit code.

        Raises:
            Interrupted: Ctrl-C was pressed; all that was done is kept.
            EdgeError: Nothing more can be captioned; all that was done is kept.
        """
        watched.start(settings)
        return caption_items(
            lambda unreadable: self.files.items(paths, unreadable),
            settings,
            journal,
            sinks,
            watched,
            self.running.patience(),
            count=self.files.can_be_counted,
        )
