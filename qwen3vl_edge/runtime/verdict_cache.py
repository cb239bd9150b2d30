"""Verdicts about builds on CPUs, in one small JSON file that may be lost or damaged without harm."""

import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Soundness", "read_verdict", "write_verdict"]

FILE_NAME = "soundness.json"
MAX_VERDICTS = 64  # rebuilding daily, still a file of a few kilobytes
log = logging.getLogger("qwen3vl_edge.runtime")


@dataclass(frozen=True)
class Soundness:
    """Whether the extra CPU buffers may be used; if not, `reason` says what went wrong with them."""

    extra_buffers: bool
    reason: str | None = None


def read_verdict(cache_dir: Path, key: str) -> Soundness | None:
    """Look up the verdict stored under `key`, or None: anything unreadable counts as not there."""
    match _read_all(cache_dir).get(key):
        case {"extra_buffers": bool(extra_buffers), "reason": (str() | None) as reason}:
            return Soundness(extra_buffers, reason)
        case _:
            return None


def write_verdict(cache_dir: Path, key: str, verdict: Soundness) -> None:
    """Add a verdict, atomically. A folder that cannot be written to costs only the next start a second."""
    verdicts = {k: v for k, v in _read_all(cache_dir).items() if k != key}
    kept = dict(list(verdicts.items())[-(MAX_VERDICTS - 1) :])
    try:
        _replace(cache_dir / FILE_NAME, json.dumps({**kept, key: asdict(verdict)}, indent=1))
    except OSError as error:
        log.debug("the self-test's verdict was not kept in %s: %s", cache_dir, error)


def _read_all(cache_dir: Path) -> dict[str, Any]:
    try:
        stored = json.loads((cache_dir / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # ValueError: neither UTF-8 nor JSON
        return {}
    return stored if isinstance(stored, dict) else {}


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
