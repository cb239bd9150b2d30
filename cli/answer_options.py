"""Options that say how an answer is generated, shared by all commands that generate one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options, sampling_options
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.constraints import Constraint
    from qwen3vl_edge.runtime.engine import GenerateOptions
    from qwen3vl_edge.sampling import Sampling

__all__ = ["AnswerOptions", "ConstraintOptions"]


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How to sample, and when to stop."""

    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Longest answer, in tokens.  [default: 1024]", show_default=False),
    ] = None
    temperature: options.Temperature = None
    top_p: options.TopP = None
    top_k: options.TopK = None
    min_p: sampling_options.MinP = None
    presence_penalty: sampling_options.PresencePenalty = None
    frequency_penalty: sampling_options.FrequencyPenalty = None
    repetition_penalty: sampling_options.RepetitionPenalty = None
    logit_bias: sampling_options.LogitBias = None
    seed: options.Seed = None
    stop: sampling_options.Stop = None
    loop_guard: sampling_options.LoopGuard = None
    think_budget: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tokens of reasoning after which a Thinking model must answer.  [default: no limit]",
            show_default=False,
        ),
    ] = None

    def options(
        self, defaults: "Sampling", constraint: "Constraint | None" = None, n_logprobs: int | None = None
    ) -> "GenerateOptions":
        """Give the options of the engine: these, laid over the model's `defaults`.

        Raises:
            UsageError: One is out of range.
        """
        from qwen3vl_edge.runtime.engine import GenerateOptions

        return self.over(GenerateOptions(defaults), constraint, n_logprobs)

    def over(
        self, before: "GenerateOptions", constraint: "Constraint | None" = None, n_logprobs: int | None = None
    ) -> "GenerateOptions":
        """Give the options of the engine: these, laid over those that held `before`.

        Raises:
            UsageError: One is out of range.
        """
        from dataclasses import replace

        either = sampling_options.either
        stop = tuple(map(sampling_options.unescape, self.stop)) if self.stop else None
        return replace(
            before,
            sampling=sampling_options.sampling(before.sampling, self._wishes()),
            max_tokens=either(self.max_tokens, before.max_tokens),
            n_logprobs=n_logprobs,
            stop=either(stop, before.stop),
            loop_guard=either(self.loop_guard, before.loop_guard),
            think_budget=either(self.think_budget, before.think_budget),
            constraint=constraint,
        )

    def _wishes(self) -> sampling_options.SamplingWishes:
        return sampling_options.SamplingWishes(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=sampling_options.parse_logit_bias(self.logit_bias),
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class ConstraintOptions:
    """What form an answer must have: at most one of these."""

    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|SHORT",
            help="Answer in JSON of this schema: a file, or in short 'name, count int, tags[]'.",
            show_default=False,
        ),
    ] = None
    regex: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Answer in text that matches all of this.", show_default=False),
    ] = None
    grammar: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Answer by this grammar (GBNF).", show_default=False),
    ] = None

    def constraint(self) -> "Constraint | None":
        """Give the constraint that was asked for, None without one.

        Raises:
            UsageError: There are several, or it cannot be held.
        """
        wanted = {"--schema": self.schema, "--regex": self.regex, "--grammar": self.grammar}
        given = [name for name, value in wanted.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} cannot both hold; give one")
        if not given:
            return None
        from qwen3vl_edge.constraints import from_file_or_short, from_grammar_file, from_regex

        if self.schema is not None:
            return from_file_or_short(self.schema)
        return (
            from_regex(self.regex) if self.regex is not None else from_grammar_file(Path(str(self.grammar)))
        )
