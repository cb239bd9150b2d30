"""Where the files of a pair come from, as far as manifests say."""

from pathlib import PurePath

from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import Manifest, RecipeNote
from qwen3vl_edge.quant.comparison.pairs import Pair
from qwen3vl_edge.quant.comparison.report import FileFacts, PairFacts
from qwen3vl_edge.runtime.speed import Speed

__all__ = ["pair_facts"]


def pair_facts(pair: Pair, speed: Speed | None = None) -> PairFacts:
    """Give what is to be told of a pair.

    Raises:
        GGUFError: A manifest of half a bundle is damaged.
    """
    model, projector = _file(pair.model, pair.model_id), _file(pair.projector, pair.projector_id)
    return PairFacts(pair.name, model, projector, pair.size_bytes, pair.bpw, speed)


def _file(info: GGUFInfo, identity: str) -> FileFacts:
    manifest = Manifest.read_beside(info.path)
    return FileFacts(
        info.path.name,
        info.file_type or "unknown",
        info.size_bytes,
        identity,
        _source(manifest) if manifest else None,
        _recipe(manifest.recipe, info) if manifest and manifest.recipe else None,
    )


def _source(manifest: Manifest) -> str:
    """Name the checkpoint: its folder, or ORG/NAME and the commit, but no path of this machine."""
    location, revision = manifest.source.location, manifest.source.revision
    place = location if revision else PurePath(location).name
    return f"{place}, commit {revision}" if revision else place


def _recipe(recipe: RecipeNote, info: GGUFInfo) -> str:
    kind = info.file_type or "unknown"
    if info.architecture == "clip":
        return f"projector {recipe.projector_type or kind}"
    extras = [
        "pure" if recipe.pure else "",
        f"{len(recipe.overrides)} tensors otherwise" if recipe.overrides else "",
        f"importance matrix {recipe.imatrix.name}" if recipe.imatrix else "no importance matrix",
        "quantized twice" if recipe.allow_requantize else "",
    ]
    return ", ".join([kind, *filter(None, extras)])
