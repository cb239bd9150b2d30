"""Options of `caption` that say what is asked, and how captions are worded."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from qwen3vl_edge.cli import options
from qwen3vl_edge.cli.answer_options import AnswerOptions, ConstraintOptions
from qwen3vl_edge.cli.sampling_options import unescape
from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.captions.prompts import Prompt
    from qwen3vl_edge.captions.wording import Wording
    from qwen3vl_edge.runtime.engine import GenerateOptions
    from qwen3vl_edge.sampling import Sampling

__all__ = ["CaptionLength", "Questions", "WordingOptions"]

_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of each file."""

    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT|NAME=TEXT",
            help="What to ask of each; may name {name}, {stem}, {parent}, {existing}, {tags}, {width} and "
            "{height}; repeatable: several questions about one picture cost one encoding.  "
            "[default: Describe this image., of a clip Describe this video.]",
            show_default=False,
        ),
    ] = None
    preset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="brief|detailed|tags|alt-text|ocr|json",
            help="Ask for this; repeatable.",
            show_default=False,
        ),
    ] = None
    system: Annotated[str | None, typer.Option(help="System prompt.", show_default=False)] = None
    tags_from: Annotated[
        str | None,
        typer.Option(
            metavar="SUFFIX",
            help="Where {tags} come from: files beside the pictures with this suffix.  [default: .txt]",
            show_default=False,
        ),
    ] = None

    def prompts(self, max_tokens: int | None, form: ConstraintOptions) -> "tuple[Prompt, ...]":
        """Give what is asked, presets first.

        Args:
            max_tokens: Of every answer; None leaves it to the presets.
            form: What form answers must have.

        Raises:
            UsageError: A prompt cannot be filled in, two have one name, or options contradict each other.
        """
        from qwen3vl_edge.captions.presets import DEFAULT_PROMPT, preset
        from qwen3vl_edge.captions.prompts import check_prompts, named_prompt

        constraint = form.constraint()
        if constraint is not None and "json" in (self.preset or ()):
            raise UsageError(f"--{constraint.kind} and --preset json cannot both hold; ask with --prompt")
        asked = [preset(name) for name in self.preset or ()]
        own = [options.question(text) for text in self.prompt or ()]
        asked += [named_prompt(text, number, _MAX_TOKENS) for number, text in enumerate(own, 1)]
        asked = asked or [DEFAULT_PROMPT]
        check_prompts(asked)
        if max_tokens is not None:
            asked = [replace(prompt, max_tokens=max_tokens) for prompt in asked]
        if constraint is not None and constraint.kind == "schema":
            asked = [replace(prompt, structured=True) for prompt in asked]
        return tuple(asked)

    def tags_suffix(self, prompts: "tuple[Prompt, ...]") -> str | None:
        """Give the suffix of the files that tags come from, None where no prompt names them.

        Raises:
            UsageError: It is none, or nobody asks for tags.
        """
        suffix = self.tags_from
        if not any("{tags}" in text for prompt in prompts for text in (prompt.picture, prompt.clip)):
            if suffix is not None:
                raise UsageError("--tags-from is about prompts that name {tags}, and none does")
            return None
        if suffix is not None and (not suffix.startswith(".") or "/" in suffix or len(suffix) < 2):
            raise UsageError(f"--tags-from {suffix!r:.40} is no suffix; give one such as .tags")
        return suffix or ".txt"


@dataclass(frozen=True, slots=True)
class WordingOptions:
    """How captions are worded; answers in JSON stay as they are."""

    trigger: Annotated[
        str, typer.Option(metavar="TEXT", help="First word, as trainers of LoRAs expect it; a comma follows.")
    ] = ""
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help=r"Put before each caption; \n is a line end.")
    ] = ""
    suffix: Annotated[
        str, typer.Option(metavar="TEXT", help=r"Put behind each caption; \n is a line end.")
    ] = ""
    strip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PHRASE", help="Drop this where a caption begins with it; repeatable.", show_default=False
        ),
    ] = None
    keep_openings: Annotated[
        bool, typer.Option("--keep-openings", help='Leave openings such as "The image shows".')
    ] = False
    max_words: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longest caption, in words; cut behind the last whole sentence that fits.",
            show_default=False,
        ),
    ] = None
    whole_sentences: Annotated[
        bool,
        typer.Option(
            "--whole-sentences", help="Where --max-tokens cut a caption off, drop the unfinished end."
        ),
    ] = False

    def wording(self) -> "Wording":
        """Give the rules.

        Raises:
            UsageError: One makes no sense.
        """
        from qwen3vl_edge.captions.wording import Wording

        return Wording(
            prefix=unescape(self.prefix),
            suffix=unescape(self.suffix),
            trigger=self.trigger,
            strip=tuple(self.strip or ()),
            keep_openings=self.keep_openings,
            max_words=self.max_words,
            whole_sentences=self.whole_sentences,
        )

    def check_unused(self) -> None:
        """Check that none of these is given where every answer is JSON, which nobody words.

        Raises:
            UsageError: One is.
        """
        from dataclasses import fields

        given = [f"--{one.name.replace('_', '-')}" for one in fields(self) if getattr(self, one.name)]
        if given:
            raise UsageError(f"{given[0]}: answers in JSON stay as they are; leave it out")


@dataclass(frozen=True, slots=True)
class CaptionLength(AnswerOptions):
    """How to sample, and when to stop: captions are short."""

    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longest answer, in tokens.  [default: 256; presets have their own, 128 to 4096]",
            show_default=False,
        ),
    ] = None
    min_tokens: Annotated[int, typer.Option(min=0, help="Shortest answer, in tokens.")] = 0

    def generate_options(self, defaults: "Sampling", form: ConstraintOptions) -> "GenerateOptions":
        """Give the options of the engine; the length is each prompt's own.

        Raises:
            UsageError: One is out of range.
        """
        longest = max(self.max_tokens or 0, self.min_tokens) or None
        at_least = replace(self, max_tokens=longest)
        return replace(at_least.options(defaults, form.constraint()), min_tokens=self.min_tokens)
