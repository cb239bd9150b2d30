"""The GGUF files that SRC of `quantize` means."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen3vl_edge.gguf_info import GGUFInfo

__all__ = ["GGUFFiles", "find_gguf"]


@dataclass(frozen=True, slots=True)
class GGUFFiles:
    """A language model, a projector or both; `alone` says why a language model has no projector."""

    model: "GGUFInfo | None"
    projector: "GGUFInfo | None"
    alone: str | None = None


def find_gguf(src: str) -> GGUFFiles | None:
    """Read the language model and projector that SRC means; None if it means a checkpoint.

    A language model may be alone, and is where the projectors beside it are not its own.

    Raises:
        UsageError: SRC is neither file nor folder, or it is not clear which model of a folder is meant.
        GGUFError: a file is damaged.
    """
    from qwen3vl_edge.bundle import find_bundle
    from qwen3vl_edge.errors import UsageError
    from qwen3vl_edge.gguf_info import GGUFInfo

    path = Path(src)
    if _is_checkpoint(src):
        return None
    if path.is_dir():
        bundle = find_bundle(path)
        return GGUFFiles(GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector))
    if not path.is_file():
        raise UsageError(f"{src}: neither file nor folder; give a GGUF file, a bundle or a checkpoint folder")
    info = GGUFInfo.read(path)
    return GGUFFiles(None, info) if info.architecture == "clip" else _with_projector(info)


def _is_checkpoint(src: str) -> bool:
    """Whether SRC is a checkpoint's folder or name: a bundle may hold a config.json too."""
    from qwen3vl_edge.demo import DEMO_NAME
    from qwen3vl_edge.manifest import MANIFEST_NAME

    folder = Path(src)
    if src == DEMO_NAME or not folder.exists():
        return True
    if not (folder / "config.json").exists() or (folder / MANIFEST_NAME).exists():
        return False
    return any(folder.glob("*.safetensors")) or not any(folder.glob("*.gguf"))


def _with_projector(model: "GGUFInfo") -> GGUFFiles:
    """Find the projector that belongs to a language model given as a file."""
    from qwen3vl_edge.bundle import find_bundle, named_bundles, verify_pair
    from qwen3vl_edge.errors import GGUFError, UsageError
    from qwen3vl_edge.gguf_info import GGUFInfo

    try:
        (named,) = named_bundles(model.path)
    except UsageError:  # none or several
        beside = ", ".join(sorted(path.name for path in model.path.parent.glob("mmproj-*.gguf")))
        several = f"several projectors beside it: {beside}"
        return GGUFFiles(model, None, f"{model.path}: {several if beside else 'no mmproj-*.gguf beside it'}")
    if named.manifest:  # says which one, whole: what is wrong with it must be told
        return GGUFFiles(model, GGUFInfo.read(find_bundle(model.path).projector))
    try:
        projector = GGUFInfo.read(named.projector)
        verify_pair(model, projector)
    except GGUFError as another:
        return GGUFFiles(model, None, str(another))
    return GGUFFiles(model, projector)
