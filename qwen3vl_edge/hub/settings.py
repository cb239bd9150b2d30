"""Which hub, whether to ask it at all, and where its files lie: the environment of huggingface_hub."""

import os
import re
from pathlib import Path

from qwen3vl_edge.errors import UsageError

__all__ = ["hub_cache_folder", "hub_endpoint", "hub_offline"]

_TRUE = {"1", "ON", "YES", "TRUE"}


def hub_endpoint() -> str:
    """URL of the hub, ``$HF_ENDPOINT`` or huggingface.co, without a slash at its end.

    Raises:
        UsageError: it is no URL.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not re.fullmatch(r"https?://[^/?#\s\[\]]+(/[^?#\s]*)?", endpoint):
        raise UsageError("HF_ENDPOINT is not the URL of a hub; https://huggingface.co is one")
    return endpoint.rstrip("/")


def hub_offline() -> bool:
    """Whether ``$HF_HUB_OFFLINE`` (or ``$TRANSFORMERS_OFFLINE``) forbids every request."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _TRUE


def hub_cache_folder() -> Path:
    """Folder that all programs share for the hub's files; the rules of huggingface_hub's `constants.py`.

    They are read at each call, which huggingface_hub does once, when it is imported.
    """
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{base}/huggingface")
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(folder)).expanduser()
