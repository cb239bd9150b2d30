import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle, find_bundle, named_bundles
from qwen3vl_edge.converters import convert
from qwen3vl_edge.errors import GGUFError, UsageError
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest, RecipeNote
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = write_tiny_checkpoint(tmp_path_factory.mktemp("c") / "Tiny-Qwen3-VL")
    return convert(checkpoint, tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture
def bare(folder: Path) -> Path:
    """The two files without a manifest, as others would share them."""
    (folder / MANIFEST_NAME).unlink()
    return folder


def model(folder: Path) -> Path:
    return folder / "Tiny-Qwen3-VL-BF16.gguf"


def projector(folder: Path) -> Path:
    return folder / "mmproj-Tiny-Qwen3-VL-F16.gguf"


def test_a_folder_with_a_manifest(folder: Path) -> None:
    bundle = find_bundle(folder)
    assert bundle == Bundle(folder, model(folder), projector(folder), Manifest.read(folder))
    assert find_bundle(model(folder)) == bundle


def test_other_files_beside_do_not_disturb_a_manifest(folder: Path) -> None:
    shutil.copy(projector(folder), folder / "mmproj-Tiny-Qwen3-VL-F32.gguf")
    shutil.copy(model(folder), folder / "Other.gguf")
    assert find_bundle(folder).projector == projector(folder)
    assert find_bundle(model(folder)).projector == projector(folder)


def test_a_folder_without_a_manifest(bare: Path) -> None:
    assert find_bundle(bare) == Bundle(bare, model(bare), projector(bare), None)
    assert find_bundle(model(bare)).projector == projector(bare)


def test_the_projector_of_the_same_name_is_taken(bare: Path) -> None:
    shutil.copy(projector(bare), bare / "mmproj-Other-F16.gguf")
    assert find_bundle(model(bare)).projector == projector(bare)


def test_a_model_beside_the_manifest_that_it_does_not_name(folder: Path) -> None:
    other = folder / "Other-Q4_K_M.gguf"
    shutil.copy(model(folder), other)
    found = find_bundle(other)
    assert (found.model, found.projector, found.manifest) == (other, projector(folder), None)


def test_ambiguities_and_absences_are_usage_errors(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        find_bundle(tmp_path / "absent")
    with pytest.raises(UsageError, match="this is a projector"):
        find_bundle(projector(bare))
    shutil.copy(projector(bare), bare / "mmproj-Tiny-Qwen3-VL-F32.gguf")
    with pytest.raises(UsageError, match=r"choose with --mmproj: mmproj-Tiny-Qwen3-VL-F16.gguf, mmproj"):
        find_bundle(bare)
    chosen = bare / "mmproj-Tiny-Qwen3-VL-F32.gguf"
    assert find_bundle(bare, chosen).projector == chosen
    shutil.copy(model(bare), bare / "Other.gguf")
    with pytest.raises(UsageError, match="several models, name one: Other.gguf, Tiny"):
        find_bundle(bare)
    with pytest.raises(UsageError, match=r"no language model"):
        find_bundle(tmp_path)
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.copy(model(bare), lonely)
    with pytest.raises(UsageError, match="no projector"):
        find_bundle(lonely)


def test_a_projector_of_another_model_is_refused(bare: Path, tmp_path: Path) -> None:
    narrow = TinyShape(hidden=288, vision_hidden=80)
    fewer = TinyShape(deepstack=(0, 2))
    for shape, what in (
        (narrow, "embedding length is 288, the language model has 256"),
        (fewer, "DeepStack"),
    ):
        checkpoint = write_tiny_checkpoint(tmp_path / f"c{shape.hidden}", shape=shape)
        other = convert(checkpoint, tmp_path / f"o{shape.hidden}")
        with pytest.raises(GGUFError, match=f"does not belong to Tiny-Qwen3-VL-BF16.gguf: .*{what}"):
            find_bundle(bare, other.projector)


def test_roles_cannot_be_swapped(bare: Path) -> None:
    with pytest.raises(GGUFError, match="not a Qwen3-VL projector"):
        find_bundle(model(bare), model(bare))
    renamed = bare / "renamed.gguf"
    projector(bare).rename(renamed)
    with pytest.raises(GGUFError, match="architecture is 'clip'"):
        find_bundle(renamed, renamed)


@pytest.mark.parametrize(("cut", "what"), [(True, "has 100 bytes instead of"), (False, "is missing")])
def test_files_that_are_not_what_the_manifest_says(folder: Path, cut: bool, what: str) -> None:
    path = projector(folder)
    raw = path.read_bytes()
    path.unlink()
    if cut:
        path.write_bytes(raw[:100])
    with pytest.raises(GGUFError, match=what):
        find_bundle(folder)


@pytest.mark.parametrize("cut", [True, False])
def test_a_given_projector_stands_in_for_a_damaged_one(folder: Path, tmp_path: Path, cut: bool) -> None:
    other = Path(shutil.copy(projector(folder), tmp_path / "mmproj-other.gguf"))
    projector(folder).write_bytes(b"cut") if cut else projector(folder).unlink()
    for path in (folder, model(folder)):
        found = find_bundle(path, other)
        assert (found.model, found.projector) == (model(folder), other)
    model(folder).write_bytes(b"cut")
    with pytest.raises(GGUFError, match=f"{model(folder).name}: has 3 bytes instead of"):
        find_bundle(folder, other)


def test_what_the_manifest_says_of_the_files(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(projector(folder), tmp_path / "mmproj-other.gguf"))
    manifest = Manifest.read(folder)
    first, second = manifest.models[0][0], manifest.projector
    assert find_bundle(folder).written == {model(folder): first, projector(folder): second}
    assert find_bundle(folder, other).written == {model(folder): first}
    spelled = folder / ".." / folder.name / second.name
    assert find_bundle(folder, spelled).written == {model(folder): first, spelled: second}


def test_named_bundles_may_be_damaged(folder: Path, tmp_path: Path) -> None:
    projector(folder).unlink()
    model(folder).write_bytes(b"cut")
    manifest = Manifest.read(folder)
    expected = (Bundle(folder, model(folder), projector(folder), manifest),)
    assert named_bundles(folder) == named_bundles(model(folder)) == expected
    with pytest.raises(UsageError, match="no such file or folder"):
        named_bundles(tmp_path / "absent")


def test_manifest_survives_a_round_trip(folder: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(folder)
    manifest.write(tmp_path / MANIFEST_NAME)
    assert Manifest.read(tmp_path) == manifest
    assert json.loads((tmp_path / MANIFEST_NAME).read_text()) == json.loads(json.dumps(manifest.to_dict()))
    assert manifest.projector.type == "F16"


def test_manifests_of_older_versions_are_read(folder: Path) -> None:
    """They have no recipe, and call the hash of a header that of the file."""
    now, path = Manifest.read(folder), folder / MANIFEST_NAME
    value = json.loads(path.read_text())
    del value["recipe"]
    for file in value["source"]["files"]:
        file["sha256"] = file["sha256"] or file["header_sha256"]
        del file["header_sha256"]
    path.write_text(json.dumps(value))
    assert Manifest.read(folder) == replace(now, recipe=None)
    assert {file.name for file in now.source.files if file.header_sha256} == {"model.safetensors"}


def test_what_was_asked_for_is_told_and_read_back(folder: Path) -> None:
    assert Manifest.read(folder).recipe == RecipeNote(("BF16",), "F16")
    path = folder / MANIFEST_NAME
    value = json.loads(path.read_text())
    value["recipe"] |= {"types": ["F32", 3], "pure": 1, "overrides": [{"pattern": "a"}]}
    value["recipe"]["imatrix"] = {"name": "../m.gguf", "sha256": "x"}
    path.write_text(json.dumps(value))
    with pytest.raises(GGUFError) as caught:
        Manifest.read(folder)
    for part in (
        "types is no list of names",
        "pure is 1, true or false is expected",
        "overrides[0]: type is missing",
        "imatrix: name is '../m.gguf', a file name without folders",
    ):
        assert part in str(caught.value)


def test_faulty_manifests_name_every_fault(folder: Path) -> None:
    path = folder / MANIFEST_NAME
    value = json.loads(path.read_text())
    value["files"][0]["name"] = "../elsewhere.gguf"
    value["files"][1]["role"] = "model"
    value["format_version"] = 99
    del value["name"]
    path.write_text(json.dumps(value))
    with pytest.raises(GGUFError) as caught:
        find_bundle(folder)
    for part in (
        "format_version is 99; this program reads up to 1",
        "files[0]: name is '../elsewhere.gguf'",
        "files must hold one projector and at least one model",
        "name is missing",
    ):
        assert part in str(caught.value)
