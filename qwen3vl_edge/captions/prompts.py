"""What is asked of each picture and clip: templates, and what is filled in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from qwen3vl_edge.errors import UsageError

__all__ = ["FIELDS", "Prompt", "PromptFields", "check_prompts", "check_template", "fill", "named_prompt"]

_PIECE = re.compile(r"\{\{|\}\}|\{[A-Za-z_]*\}|[{}]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class PromptFields:
    """What a template may name, of one file.

    ``name`` is the file's, ``stem`` the same without its suffix, ``parent`` its folder's; ``existing`` is
    the caption that it has already, ``tags`` what its tags file says; ``width`` and ``height`` are those
    of the upright picture or of the clip's frames, in pixels.
    """

    name: str
    stem: str
    parent: str
    existing: str = ""
    tags: str = ""
    width: int = 0
    height: int = 0

    @classmethod
    def of(
        cls, path: Path, *, existing: str = "", tags: str = "", width: int = 0, height: int = 0
    ) -> "PromptFields":
        """Give the fields of the file `path`; the folder of a bare name is the current one."""
        parent = path.parent.name or path.absolute().parent.name
        return cls(path.name, path.stem, parent, existing, tags, width, height)


FIELDS = tuple(field.name for field in fields(PromptFields))
"""The names that a template may have in braces."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing to ask of each file; ``name`` tells it from the others in records.

    ``picture`` and ``clip`` are templates, ``max_tokens`` the longest answer, ``grammar`` (GBNF) the form
    that it must have. ``structured`` says that the answer is JSON, whose wording nobody touches;
    ``is_copy`` that it is text as the picture has it, from which no known opening is dropped.
    """

    name: str
    picture: str
    clip: str
    max_tokens: int = 256
    grammar: str | None = None
    structured: bool = False
    is_copy: bool = False


def fill(template: str, values: PromptFields) -> str:
    """Put `values` where `template` names them; ``{{`` and ``}}`` give braces.

    What is put in is data: braces in it are not looked at, and bytes of a file name that are no text
    become U+FFFD.

    Raises:
        UsageError: As `check_template`.
    """
    return _PIECE.sub(lambda found: _piece(template, found[0], values), template)


def check_template(template: str) -> None:
    """Check that `template` can be filled.

    Raises:
        UsageError: It is empty, or has an unknown field or a lone brace.
    """
    if not template.strip():
        raise UsageError("a prompt is empty; say what to ask")
    fill(template, PromptFields("", "", ""))


def named_prompt(text: str, number: int, max_tokens: int) -> Prompt:
    """Read a prompt that a user gave, ``NAME=TEXT`` or TEXT alone; the latter is named by its `number`.

    NAME is a letter and up to 39 letters, digits, ``-`` and ``_``: other texts before a = are part of the
    prompt. It is asked of pictures and of clips.

    Raises:
        UsageError: As `check_template`.
    """
    name, equals, rest = text.partition("=")
    if not (equals and _NAME.fullmatch(name)):
        name, rest = ("prompt" if number == 1 else f"prompt{number}"), text
    check_template(rest)
    return Prompt(name, rest, rest, max_tokens)


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """Check that `prompts` can be told apart in records.

    Raises:
        UsageError: There is none, or two have one name.
    """
    if not prompts:
        raise UsageError("there is nothing to ask; give a prompt or a preset")
    names = [prompt.name for prompt in prompts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two prompts are named {twice[0]!r}; give NAME=TEXT with different names")


def _piece(template: str, piece: str, values: PromptFields) -> str:
    if piece in {"{{", "}}"}:
        return piece[0]
    name = piece[1:-1]
    if name not in FIELDS:
        what = f"the unknown field {piece}" if len(piece) > 1 else f"a lone {piece}"
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise UsageError(
            f"the prompt {template!r:.60} has {what}; known are {known}, and {{{{ }}}} for braces"
        )
    return _HALF_PAIR.sub("\ufffd", str(getattr(values, name)))
