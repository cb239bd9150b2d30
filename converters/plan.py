"""What a conversion will write, down to the byte, before it writes anything."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from qwen3vl_edge.checkpoint import Checkpoint, TensorRef
from qwen3vl_edge.converters.general_metadata import general_metadata
from qwen3vl_edge.converters.gguf_header import KeyValue, TensorEntry, encode_header, padding
from qwen3vl_edge.converters.metadata import model_metadata, projector_metadata
from qwen3vl_edge.converters.tensor_map import Mapped, map_tensors
from qwen3vl_edge.converters.tensor_types import MODEL_TYPES, PROJECTOR_TYPES, choose_type
from qwen3vl_edge.converters.vocab import Vocab
from qwen3vl_edge.errors import CheckpointError, UsageError
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.hf_config import read_config
from qwen3vl_edge.hf_defaults import PreprocessorDefaults, SamplingDefaults
from qwen3vl_edge.manifest import Role
from qwen3vl_edge.model_config import ModelConfig

__all__ = ["ConversionPlan", "PlannedFile", "PlannedTensor", "plan_conversion", "safe_name"]


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor to write; `shape` row-major, `frame` the temporal slice of a patch embedding."""

    name: str
    source: TensorRef
    shape: tuple[int, ...]
    frame: int | None
    kind: TensorType

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor without padding."""
        return self.kind.nbytes(self.shape)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One GGUF file to write; `type` as in its name, `header` the bytes before the tensors."""

    role: Role
    name: str
    type: str
    header: bytes
    tensors: tuple[PlannedTensor, ...]

    @property
    def n_bytes(self) -> int:
        """Return the size of the whole file."""
        return len(self.header) + self.data_bytes

    @property
    def data_bytes(self) -> int:
        """Return the bytes of all tensors with their padding."""
        return sum(tensor.nbytes + padding(tensor.nbytes) for tensor in self.tensors)

    @property
    def tensor_types(self) -> Mapping[str, int]:
        """Return how many tensors there are of each type."""
        return dict(sorted(Counter(tensor.kind.name for tensor in self.tensors).items()))


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Both files of a bundle and what they are made from."""

    name: str
    checkpoint: Checkpoint
    files: tuple[PlannedFile, ...]

    @property
    def data_bytes(self) -> int:
        """Return the bytes of all tensors of both files."""
        return sum(file.data_bytes for file in self.files)


def plan_conversion(
    folder: Path,
    *,
    type: str,
    projector_type: str,
    name: str | None = None,
) -> ConversionPlan:
    """Read everything of the checkpoint but its values, and check that all of it can be converted.

    Args:
        folder: The checkpoint.
        type: A name of `MODEL_TYPES`.
        projector_type: A name of `PROJECTOR_TYPES`.
        name: Of the bundle and of the model; None: after the folder.

    Raises:
        UsageError: an unknown type, or `folder` is not a checkpoint folder.
        CheckpointError: what is wrong with the checkpoint, all of a kind in one line.
    """
    file_type, kind = _known(type, MODEL_TYPES, "--type")
    projector_file_type, projector_kind = _known(projector_type, PROJECTOR_TYPES, "--projector-type")
    checkpoint = Checkpoint.open(folder)
    config = read_config(folder)
    _refuse_unsupported(folder, checkpoint, config)
    mapped_model, mapped_projector = map_tensors(checkpoint, config)
    model, projector = _planned(mapped_model, kind), _planned(mapped_projector, projector_kind)
    sampling = SamplingDefaults.read(folder)
    limits = PreprocessorDefaults.read(folder, config.vision.token_side_px)
    vocab = Vocab.read(folder, config)
    base = safe_name(name or folder.resolve().name)
    general = general_metadata(folder, "model", name, sampling, _n_values(model))
    projector_general = general_metadata(folder, "mmproj", name, sampling, _n_values(projector))
    return ConversionPlan(
        name=base,
        checkpoint=checkpoint,
        files=(
            PlannedFile(
                role="model",
                name=f"{base}-{kind}.gguf",
                type=kind,
                header=_header(model_metadata(config, vocab, general, file_type), model),
                tensors=model,
            ),
            PlannedFile(
                role="projector",
                name=f"mmproj-{base}-{projector_kind}.gguf",
                type=projector_kind,
                header=_header(
                    projector_metadata(config, limits, projector_general, projector_file_type), projector
                ),
                tensors=projector,
            ),
        ),
    )


def safe_name(name: str) -> str:
    """Make a name that every file system takes: letters, digits, dot, dash and underscore."""
    cleaned = re.sub(r"[^\w.-]+", "-", name.strip()).strip("-.")
    if not cleaned:
        raise UsageError(f"{name!r} cannot be made into a file name; give one with --name")
    return cleaned[:120]


def _known(name: str, types: Mapping[str, tuple[int, str]], option: str) -> tuple[int, str]:
    for known, value in types.items():
        if known.lower() == name.lower():
            return value
    raise UsageError(f"{option} {name!r} is not one of {', '.join(types)}")


def _refuse_unsupported(folder: Path, checkpoint: Checkpoint, config: ModelConfig) -> None:
    """Stop early, with one clear line, at members of the family that cannot be converted yet."""
    eight_bit = any(ref.dtype.startswith("F8_") for ref in checkpoint.tensors)
    if config.quant_method is not None or eight_bit:
        method = config.quant_method or "fp8"
        raise CheckpointError(f"{folder}: {method} checkpoints are not supported yet; take the BF16 one")
    if config.text.moe is not None:
        raise CheckpointError(
            f"{folder}: mixture-of-experts checkpoints are not supported yet; take a dense one"
        )


def _planned(mapped: Sequence[Mapped], wanted: str) -> tuple[PlannedTensor, ...]:
    return tuple(
        PlannedTensor(
            item.target, item.source, item.shape, item.frame, choose_type(item.target, item.shape, wanted)
        )
        for item in mapped
    )


def _header(metadata: Sequence[KeyValue], tensors: Sequence[PlannedTensor]) -> bytes:
    return encode_header(metadata, [TensorEntry(item.name, item.shape, item.kind) for item in tensors])


def _n_values(tensors: Sequence[PlannedTensor]) -> int:
    return sum(prod(tensor.shape) for tensor in tensors)
