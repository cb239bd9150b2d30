"""Choices kept in a file: one line a tensor, to be read, edited and used again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qwen3vl_edge.errors import EdgeError, UsageError, join_problems
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.json_fields import Fields, read_object
from qwen3vl_edge.manifest import BundleFile, ImatrixNote, Manifest, OrderNote, RecipeNote
from qwen3vl_edge.quant.allocation.choose import Chosen
from qwen3vl_edge.quant.assignment import Assignment
from qwen3vl_edge.quant.file_types import find_tensor_type
from qwen3vl_edge.writing.publish import temporary_path

__all__ = ["SavedRecipe", "read_recipe", "refuse_replacing", "save_recipe"]

_FORMAT = "qwen3vl-edge recipe"
_VERSION = 1
_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SavedRecipe:
    """Types tensor by tensor, and what else made the files: the projector's type, the matrix, if any."""

    assignment: Assignment
    projector_type: str | None = None
    imatrix: ImatrixNote | None = None


def read_recipe(path: Path) -> SavedRecipe:
    """Read a recipe file, or a manifest: of one language model, of a projector, or of both.

    A manifest gives the types of its tensors, whatever chose them. Of a projector whose type was one for all,
    it gives that one.

    Raises:
        UsageError: `path` cannot be read, is neither, or what is wrong in it.
    """
    values = read_object(path, _LIMIT_BYTES, UsageError)
    if values.get("format") == _FORMAT:
        return _of_recipe(path, Fields(values, str(path)))
    if "files" not in values:
        raise UsageError(f"{path}: neither a recipe nor a manifest; --save-recipe writes recipes")
    return _of_manifest(path)


def refuse_replacing(path: Path) -> None:
    """Refuse to write a recipe over what is none, or where there is no folder, before anything is measured.

    Raises:
        UsageError: something else lies at `path`, or nothing can.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it, or give another name")
    if not path.exists():
        return
    try:
        is_recipe = read_object(path, _LIMIT_BYTES, UsageError).get("format") == _FORMAT
    except UsageError:
        is_recipe = False
    if not is_recipe:
        raise UsageError(f"{path}: is no recipe, and would be replaced by one; give another name")


def save_recipe(path: Path, chosen: Chosen, note: RecipeNote) -> None:
    """Write choices to `path`: at once or not at all, over a recipe that was there.

    Args:
        path: Of the file.
        chosen: The choices.
        note: What was asked for.

    Raises:
        UsageError: something that is no recipe lies there.
        EdgeError: `path` cannot be written.
    """
    refuse_replacing(path)
    value = {
        "format": _FORMAT,
        "version": _VERSION,
        "order": note.order and asdict(note.order),
        "projector_type": note.projector_type,
        "imatrix": note.imatrix and asdict(note.imatrix),
        "tensors": {choice.name: choice.kind.name for choice in chosen.choices},
        "errors": {choice.name: float(f"{choice.error:.4g}") for choice in chosen.choices},
    }
    temporary = temporary_path(path)
    try:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as failure:
        temporary.unlink(missing_ok=True)
        raise EdgeError(f"{path}: cannot be written ({failure.strerror})") from failure


def _of_recipe(path: Path, fields: Fields) -> SavedRecipe:
    version = fields.integer("version")
    if version > _VERSION:
        fields.fault("version", f"is {version}; this program reads up to {_VERSION}, update it")
    tensors = fields.section("tensors")
    kinds = {name: tensors.text(name) for name in tensors.values}
    imatrix = None
    if fields.has("imatrix"):
        note = fields.section("imatrix")
        imatrix = ImatrixNote(note.text("name"), note.text("sha256"))
    projector_type = fields.text("projector_type") if fields.has("projector_type") else None
    if fields.problems:
        raise UsageError(join_problems(fields.problems))
    return SavedRecipe(_assignment(path, kinds), projector_type, imatrix)


def _of_manifest(path: Path) -> SavedRecipe:
    manifest = Manifest.read_file(path)
    models = manifest.models
    if len(models) > 1:
        names = ", ".join(parts[0].type for parts in models)
        raise UsageError(f"{path}: is of several language models ({names}); a recipe is of one")
    own = manifest.recipe.projector_type if manifest.recipe and models else None
    files = [file for file in manifest.files if own is None or file.role == "model"]
    imatrix = manifest.recipe.imatrix if manifest.recipe else None
    return SavedRecipe(_assignment(path, _chosen_types(files)), own, imatrix)


def _chosen_types(files: list[BundleFile]) -> dict[str, str]:
    """Return the types of the tensors that were not kept or copied as they were."""
    notes = [note for file in files for note in file.tensors]
    return {note.name: note.type for note in notes if not note.why.startswith(("kept:", "as it is"))}


def _assignment(path: Path, types: Mapping[str, str]) -> Assignment:
    kinds: dict[str, TensorType] = {}
    problems = []
    for name, type_name in types.items():
        try:
            kinds[name] = find_tensor_type(type_name)
        except UsageError as problem:
            problems.append(f"{name!r:.80}: {problem}")
    if problems:
        raise UsageError(f"{path}: {join_problems(problems, 3)}")
    if not kinds:
        raise UsageError(f"{path}: names no tensors")
    return Assignment(kinds, f"recipe {path.name}", OrderNote(recipe=path.name))
