"""Arguments and options that several commands share, and what they turn into."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwen3vl_edge.errors import UsageError

if TYPE_CHECKING:  # the commands must start fast: nothing heavy is imported before it is needed
    from qwen3vl_edge.bundle import Bundle
    from qwen3vl_edge.progress import Progress

__all__ = [
    "Clips",
    "Images",
    "Json",
    "MaxTokens",
    "Mmproj",
    "Model",
    "ReasoningView",
    "Seed",
    "Temperature",
    "Threads",
    "TopK",
    "TopP",
    "find_model",
    "question",
    "require_files",
]

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Bundle folder, GGUF file, or `demo`.", show_default=False)
]
Mmproj = Annotated[
    Path | None,
    typer.Option(
        "--mmproj", help="Projector file, where it does not lie beside the model.", show_default=False
    ),
]
Images = Annotated[
    list[Path] | None, typer.Option("-i", "--image", help="A picture; repeatable.", show_default=False)
]
Clips = Annotated[
    list[Path] | None, typer.Option("-v", "--video", help="A clip; repeatable.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Temperature = Annotated[
    float | None, typer.Option(help="Randomness; 0 is greedy.  [default: the model's]", show_default=False)
]
TopP = Annotated[
    float | None,
    typer.Option(
        help="Keep the likeliest tokens up to this sum.  [default: the model's]", show_default=False
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(help="Keep this many likeliest tokens.  [default: the model's]", show_default=False),
]
Seed = Annotated[int | None, typer.Option(help="Makes sampling repeatable.", show_default=False)]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
ReasoningView = Annotated[
    Literal["hidden", "dim", "shown"] | None,
    typer.Option(
        "--reasoning",
        help="How a Thinking model's reasoning is shown, on standard error.  [default: dim on a terminal]",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Threads.  [default: all cores]", show_default=False)
]


def find_model(name: str, mmproj: Path | None, progress: "Progress") -> "Bundle":
    """Give the bundle that MODEL names.

    Raises:
        UsageError: A projector is named for the demo model, which has its own.
        GGUFError: There is no such pair of files.
    """
    from qwen3vl_edge.bundle import find_bundle
    from qwen3vl_edge.demo import DEMO_NAME, demo_bundle
    from qwen3vl_edge.paths import user_cache_dir

    if name == DEMO_NAME:
        if mmproj is not None:
            raise UsageError(f"--mmproj is for GGUF files; {DEMO_NAME} brings its own projector")
        return demo_bundle(user_cache_dir(), progress)
    return find_bundle(Path(name), mmproj)


def question(text: str) -> str:
    """Give what to ask, without the line end that a pipe brings along.

    Raises:
        UsageError: It is empty.
    """
    if not text.strip():
        raise UsageError("the question is empty; give one, or pipe one in with -")
    return text.rstrip("\n")


def require_files(paths: Sequence[Path]) -> None:
    """Check that all of `paths` are there, before a model is opened for nothing.

    Raises:
        UsageError: Some are not.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"no such file: {', '.join(missing)}")
