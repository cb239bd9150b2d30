"""The ``general.`` keys: what the model is called, where it comes from, how it likes to be sampled.

Names, sizes and authorship are guessed from the model card and the checkpoint's name by gguf's own
heuristics (`gguf.Metadata`), so that the files say what llama.cpp's converter would make them say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from gguf import Metadata, size_label

from qwen3vl_edge.converters.model_card import read_card, texts
from qwen3vl_edge.converters.origin import Origin
from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.gguf_format import Scalar, ValueType
from qwen3vl_edge.hf_defaults import SamplingDefaults
from qwen3vl_edge.json_fields import read_object
from qwen3vl_edge.manifest import current_versions
from qwen3vl_edge.quant.metadata import quantized_by
from qwen3vl_edge.writing.gguf_header import KeyValue, array
from qwen3vl_edge.writing.names import refuse_unstorable_name, text_fault

__all__ = ["AUTHORSHIP", "GeneralMetadata"]

_CONFIG_LIMIT_BYTES = 4 << 20

# field of SamplingDefaults -> key and type (gguf_writer.py of gguf 0.19.0, add_sampling_*)
_SAMPLING = (
    ("top_k", "general.sampling.top_k", ValueType.INT32),
    ("top_p", "general.sampling.top_p", ValueType.FLOAT32),
    ("min_p", "general.sampling.min_p", ValueType.FLOAT32),
    ("temperature", "general.sampling.temp", ValueType.FLOAT32),
    ("repetition_penalty", "general.sampling.penalty_repeat", ValueType.FLOAT32),
)

AUTHORSHIP = {
    "name": "general.name",
    "author": "general.author",
    "version": "general.version",
    "organization": "general.organization",
    "finetune": "general.finetune",
    "basename": "general.basename",
    "description": "general.description",
    "quantized_by": "general.quantized_by",
    "size_label": "general.size_label",
    "license": "general.license",
    "license_name": "general.license.name",
    "license_link": "general.license.link",
    "url": "general.url",
    "doi": "general.doi",
    "uuid": "general.uuid",
    "repo_url": "general.repo_url",
    "source_url": "general.source.url",
    "source_doi": "general.source.doi",
    "source_uuid": "general.source.uuid",
    "source_repo_url": "general.source.repo_url",
}
"""Field of `gguf.Metadata` -> key, all strings, in the order in which llama.cpp's converter writes them."""

# field of gguf.Metadata -> prefix of the numbered keys
_PARENTS = (("base_models", "general.base_model"), ("datasets", "general.dataset"))
_PARENT_KEYS = ("name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url")
_LISTS = (("tags", "general.tags"), ("languages", "general.languages"))


@dataclass(frozen=True, slots=True)
class GeneralMetadata:
    """What a checkpoint says of itself beside its weights.

    `base` is the name of the repository or folder, `name` what the user called it, `model_id` ``ORG/NAME``
    as far as it is known, `card` the YAML of the model card: strings and lists.
    """

    folder: Path
    base: str
    name: str | None
    model_id: str | None
    card: Mapping[str, object]
    sampling: SamplingDefaults
    origin: Origin | None

    @classmethod
    def read(
        cls, folder: Path, *, name: str | None = None, origin: Origin | None = None
    ) -> "GeneralMetadata":
        """Read README.md, generation_config.json and the old name in config.json.

        Args:
            folder: The checkpoint.
            name: ``general.name``; None: from the model card, the repository's or the folder's name.
            origin: Where the checkpoint was fetched; a folder of the hub's cache tells by its path.

        Raises:
            UsageError: `name` cannot be stored.
            CheckpointError: what is wrong with one of the files.
        """
        refuse_unstorable_name(name)
        origin = origin or Origin.of_snapshot(folder)
        return cls(
            folder=folder,
            base=Path(origin.repository).name if origin else folder.resolve().name,
            name=name,
            model_id=origin.repository if origin else _configured_name(folder / "config.json"),
            card=read_card(folder / "README.md"),
            sampling=SamplingDefaults.read(folder),
            origin=origin,
        )

    def entries(
        self,
        kind: Literal["model", "mmproj"],
        tensors: Sequence[tuple[str, tuple[int, ...]]],
        *,
        quantized: bool = False,
    ) -> list[KeyValue]:
        """Return the ``general.`` keys of one file, and where it comes from under keys of our own.

        Args:
            kind: ``general.type``.
            tensors: Name and row-major shape of every tensor of the file.
            quantized: Whether it is of a type that loses precision by design.

        Raises:
            CheckpointError: a text of the card, or a name, cannot be stored.
        """
        found = self._guess(tensors)
        version = current_versions()["qwen3vl-edge"]
        found.quantized_by = found.quantized_by or (quantized_by() if quantized else None)
        entries = [KeyValue("general.type", ValueType.STRING, kind), *_sampling(self.sampling)]
        entries += [*_authorship(found), *_parents(found), *_lists(found)]
        entries.append(KeyValue("qwen3vl_edge.version", ValueType.STRING, version))
        if self.origin:
            repository, revision = self.origin.repository, self.origin.revision
            entries.append(KeyValue("qwen3vl_edge.source.repository", ValueType.STRING, repository))
            entries.append(KeyValue("qwen3vl_edge.source.revision", ValueType.STRING, revision))
        self._refuse_unstorable(entries)
        return entries

    def _guess(self, tensors: Sequence[tuple[str, tuple[int, ...]]]) -> Metadata:
        """Let gguf's heuristics speak, in the order of ``Metadata.load`` (metadata.py of gguf 0.19.0)."""
        counts = _count_parameters(tensors)
        old_name = {"_name_or_path": self.model_id} if self.model_id else {}
        found = Metadata.apply_metadata_heuristic(
            Metadata(), dict(self.card), old_name, Path(self.base), counts[0]
        )
        found.name = self.name or ",".join(texts(found.name)) or self.base
        found.size_label = ",".join(texts(found.size_label)) or size_label(*counts)
        if self.origin:
            found.source_url = found.source_url or self.origin.url
            found.source_repo_url = found.source_repo_url or self.origin.url
        return found

    def _refuse_unstorable(self, entries: Sequence[KeyValue]) -> None:
        for item in entries:
            for value in item.value if isinstance(item.value, tuple) else (item.value,):
                fault = text_fault(value) if isinstance(value, str) else None
                if fault:
                    raise CheckpointError(
                        f"{self.folder}: {item.key} {fault}; look at README.md and the name"
                    )


def _count_parameters(tensors: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[int, int, int, int]:
    """Count values: all, those shared by all experts, those of one expert; and the experts.

    Source: get_total_parameter_count in gguf_writer.py of gguf 0.19.0.
    """
    experts = [shape for name, shape in tensors if "_exps." in name]
    total, of_experts = sum(prod(shape) for _, shape in tensors), sum(map(prod, experts))
    one_expert = sum(prod(shape[1:]) for shape in experts)
    return total, total - of_experts, one_expert, experts[0][0] if experts else 0


def _configured_name(path: Path) -> str | None:
    value = read_object(path, _CONFIG_LIMIT_BYTES, CheckpointError).get("_name_or_path")
    return value if isinstance(value, str) else None


def _sampling(sampling: SamplingDefaults) -> Iterator[KeyValue]:
    for attribute, key, value_type in _SAMPLING:
        value: Scalar | None = getattr(sampling, attribute)
        if value is not None:
            yield KeyValue(key, value_type, value)


def _authorship(found: Metadata) -> Iterator[KeyValue]:
    for attribute, key in AUTHORSHIP.items():
        text = ",".join(texts(getattr(found, attribute)))
        if text:
            yield KeyValue(key, ValueType.STRING, text)


def _parents(found: Metadata) -> Iterator[KeyValue]:
    for attribute, prefix in _PARENTS:
        parents: Sequence[Mapping[str, object]] | None = getattr(found, attribute)
        if parents is None:
            continue
        yield KeyValue(f"{prefix}.count", ValueType.UINT32, len(parents))
        for i, parent in enumerate(parents):
            for key in _PARENT_KEYS:
                for text in texts(parent.get(key))[:1]:
                    yield KeyValue(f"{prefix}.{i}.{key}", ValueType.STRING, text)


def _lists(found: Metadata) -> Iterator[KeyValue]:
    for attribute, key in _LISTS:
        found_texts = texts(getattr(found, attribute))
        if found_texts:
            yield array(key, ValueType.STRING, found_texts)
