"""What a user's or a model's text may become: part of a file's name, a value in its metadata."""

import re

from qwen3vl_edge.errors import UsageError

__all__ = ["refuse_unstorable_name", "safe_name", "text_fault"]

_NAME_BYTES = 200  # file systems take 255, and prefix, type, part and ending are still to come
_TEXT_LIMIT_BYTES = 64 << 10
# C0 and C1 controls but tab and newline, and halves of surrogate pairs
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def safe_name(name: str) -> str:
    """Make a name that every file system takes, and no path: letters, digits, dot, dash and underscore.

    Raises:
        UsageError: nothing of `name` is left.
    """
    cleaned = re.sub(r"[^\w.-]+", "-", name.strip()).strip("-.")
    if not cleaned:
        raise UsageError(f"{name!r:.80} cannot be made into a file name; give one with --name")
    return cleaned.encode()[:_NAME_BYTES].decode(errors="ignore")


def refuse_unstorable_name(name: str | None) -> None:
    """Refuse a name for ``general.name`` that no file can hold.

    Raises:
        UsageError: saying why.
    """
    if name is not None and (fault := text_fault(name)):
        raise UsageError(f"--name {name!r:.80} {fault}; give another one")


def text_fault(text: str) -> str | None:
    """Say why `text` cannot be a value in a file, as the end of a sentence; None if it can."""
    if _UNSTORABLE.search(text):
        return "holds control characters or half of a surrogate pair"
    size = len(text.encode("utf-8"))
    return (
        f"has {size} bytes, more than the {_TEXT_LIMIT_BYTES} allowed" if size > _TEXT_LIMIT_BYTES else None
    )
