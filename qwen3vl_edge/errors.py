"""The errors that the package raises on purpose, as one tree.

::

    EdgeError
    ├── UsageError            the call itself is wrong                        exit code 2
    ├── CheckpointError       a Hugging Face checkpoint cannot be used
    ├── GGUFError             a GGUF file or bundle cannot be used
    ├── MediaError            a picture or clip cannot be used
    ├── PromptError           the chat template or the messages cannot be rendered
    ├── SessionError          a saved conversation cannot be written, read or taken up
    ├── JournalError          the journal of a captioning run, or what it writes to, cannot be used
    └── EngineError           the native library refused or died
        └── ContextFullError  the prompt does not fit the context

Every message is one line that says what is wrong, where, and what to do. The command line turns
``UsageError`` into exit code 2 and every other ``EdgeError`` into 1 (`qwen3vl_edge.cli.main`).
"""

from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "ContextFullError",
    "EdgeError",
    "EngineError",
    "GGUFError",
    "JournalError",
    "MediaError",
    "PromptError",
    "SessionError",
    "UsageError",
    "join_problems",
]


class EdgeError(Exception):
    """Base of all errors raised on purpose."""


class UsageError(EdgeError):
    """The call itself is wrong: an option, an argument, a combination."""


class CheckpointError(EdgeError):
    """A Hugging Face checkpoint is missing something, damaged, or of another model."""


class GGUFError(EdgeError):
    """A GGUF file or a bundle is missing something, damaged, or of another model."""


class MediaError(EdgeError):
    """A picture or clip cannot be read or is outside the model's limits."""


class PromptError(EdgeError):
    """The chat template or the messages given to it cannot be rendered."""


class SessionError(EdgeError):
    """A saved conversation cannot be written or read, or what it refers to has changed."""


class JournalError(EdgeError):
    """The journal of a captioning run, or a file that captions go to, cannot be used or written."""


class EngineError(EdgeError):
    """llama.cpp refused a model or a request, or its process died."""


class ContextFullError(EngineError):
    """The prompt, or the prompt and the answer, do not fit the context."""


def join_problems(problems: Sequence[str], limit: int = 20) -> str:
    """Join several findings into one line, the first `limit` of them in full."""
    shown = "; ".join(problems[:limit])
    return shown if len(problems) <= limit else f"{shown}; and {len(problems) - limit} more"
