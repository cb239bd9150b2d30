"""What a run needs to know of a model before, and without, opening it."""

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.captions.settings import ModelNames
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.runtime.file_identity import model_identity, projector_identity
from qwen3vl_edge.runtime.settings import sampling_defaults
from qwen3vl_edge.sampling import Sampling

__all__ = ["model_names", "stored_sampling"]


def model_names(bundle: Bundle) -> ModelNames:
    """Give what records say of the pair: the model's name, and the types of both files.

    Hashing a projector takes a second the first time (`content_hash`).

    Raises:
        GGUFError: A file cannot be read or is damaged.
    """
    model, projector = GGUFInfo.read(bundle.model), GGUFInfo.read(bundle.projector)
    name = model.metadata.get("general.name")
    return ModelNames(
        name=name if isinstance(name, str) and name else bundle.model.stem,
        quantization=f"{model.file_type or 'unknown'}, projector {projector.file_type or 'unknown'}",
        identity=f"{model_identity(bundle.model)} {projector_identity(bundle.projector)}",
    )


def stored_sampling(bundle: Bundle) -> Sampling:
    """Give the sampling that the model's file recommends.

    Raises:
        GGUFError: A default is no number, or out of its range.
    """
    stored = GGUFInfo.read(bundle.model).metadata

    def text(key: str) -> str | None:
        value = stored.get(key)
        return None if value is None else str(value)

    return sampling_defaults(text)
