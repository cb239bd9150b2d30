"""Where this package keeps its files and where the native libraries lie: all reading of the environment."""

import importlib.util
import os
import sys
from pathlib import Path

from qwen3vl_edge.errors import EngineError

__all__ = ["native_library", "native_library_dir", "user_cache_dir", "user_data_dir"]


def user_cache_dir() -> Path:
    """Folder for what can be made again: ``$XDG_CACHE_HOME/qwen3vl-edge`` or ``~/.cache/qwen3vl-edge``.

    It need not exist. A relative ``$XDG_CACHE_HOME`` is ignored, as the XDG specification asks.
    """
    return _xdg("XDG_CACHE_HOME", "~/.cache")


def user_data_dir() -> Path:
    """Folder for what cannot be made again: ``$XDG_DATA_HOME/qwen3vl-edge``, or that in ``~/.local/share``.

    It need not exist. A relative ``$XDG_DATA_HOME`` is ignored, as the XDG specification asks.
    """
    return _xdg("XDG_DATA_HOME", "~/.local/share")


def _xdg(variable: str, otherwise: str) -> Path:
    base = Path(os.environ.get(variable, ""))
    return (base if base.is_absolute() else Path(otherwise).expanduser()) / "qwen3vl-edge"


def native_library_dir() -> Path:
    """Folder of libllama, libmtmd and libggml*, found without importing (hence loading) them.

    ``$LLAMA_CPP_LIB_PATH`` is llama-cpp-python's own switch and is obeyed as it obeys it.

    Raises:
        EngineError: llama-cpp-python is not installed.
    """
    override = os.environ.get("LLAMA_CPP_LIB_PATH")
    if override is not None:
        return Path(override)
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise EngineError("llama-cpp-python is not installed; run `pip install llama-cpp-python==0.3.36`")
    return Path(spec.origin).parent / "lib"


def native_library(stem: str) -> Path:
    """Path of one native library, e.g. ``ggml-base``, by this platform's naming.

    Raises:
        EngineError: the library is not there.
    """
    folder = native_library_dir()
    names = {"win32": (f"{stem}.dll", f"lib{stem}.dll"), "darwin": (f"lib{stem}.dylib", f"lib{stem}.so")}
    # on Linux the name that libllama itself loads comes first: the wheel holds copies, not links
    for name in names.get(sys.platform, (f"lib{stem}.so.0", f"lib{stem}.so")):
        if (folder / name).is_file():
            return folder / name
    raise EngineError(f"{folder} holds no {stem} library; reinstall llama-cpp-python")
