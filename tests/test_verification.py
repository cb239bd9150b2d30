import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3vl_edge import verification
from qwen3vl_edge.bundle import Bundle, find_bundle, find_bundles
from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.manifest import MANIFEST_NAME, Manifest
from qwen3vl_edge.progress import Task
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.runtime.trial_process import Trial
from qwen3vl_edge.verification import Check, Verification, verify_bundles
from tests.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A sound bundle that the test may spoil."""
    return find_bundle(Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")))


@pytest.fixture
def bare(bundle: Bundle) -> Bundle:
    """The same without a manifest: spoiled weights are then for the forward to find."""
    (bundle.folder / MANIFEST_NAME).unlink()
    return replace(bundle, manifest=None)


def states(done: Verification) -> list[tuple[str, str, bool | None]]:
    return [(check.name, check.subject, check.ok) for check in done.checks]


def failed(done: Verification) -> list[Check]:
    return [check for check in done.checks if check.ok is False]


def the_forward(done: Verification) -> Check:
    (found,) = [check for check in done.checks if check.name == "forward"]
    return found


def pair(bundle: Bundle) -> str:
    return f"{bundle.model.name} + {bundle.projector.name}"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def overwrite(path: Path, tensor_name: str, value: float) -> None:
    """Fill a tensor of an F32 file."""
    tensor = next(item for item in GGUFInfo.read(path).tensors if item.name == tensor_name)
    assert tensor.type_name == "F32"
    np.memmap(path, np.float32, "r+", tensor.offset, tensor.n_elements)[:] = value


def flip_last_byte(path: Path) -> Path:
    """Flip a bit of the last tensor's last byte; gives the file that this was in."""
    tensor = GGUFInfo.read(path).tensors[-1]
    with tensor.path.open("r+b") as file:
        file.seek(tensor.offset + tensor.nbytes - 1)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    return tensor.path


def test_a_sound_bundle_passes_every_check(bundle: Bundle) -> None:
    before = contents(bundle.folder)
    done = verify_bundles([bundle])
    assert states(done) == [
        ("structure", bundle.model.name, True),
        ("structure", bundle.projector.name, True),
        ("structure", pair(bundle), True),
        ("hash", bundle.model.name, True),
        ("hash", bundle.projector.name, True),
        ("forward", pair(bundle), True),
    ]
    assert (done.ok, done.problems) == (True, "")
    assert contents(bundle.folder) == before


@pytest.mark.parametrize("which", ["model", "projector"])
def test_a_flipped_bit_in_the_weights_is_named(bundle: Bundle, which: str) -> None:
    path: Path = getattr(bundle, which)
    flip_last_byte(path)
    before = contents(bundle.folder)
    done = verify_bundles([bundle], forward=False)
    assert [(check.name, check.subject) for check in failed(done)] == [("hash", path.name)]
    assert not done.ok
    assert done.problems.startswith(f"{path.name}: its SHA-256 is ")
    assert "\n" not in done.problems
    assert contents(bundle.folder) == before


@pytest.mark.parametrize("which", ["model", "projector"])
def test_a_cut_file_fails_and_is_not_opened(bundle: Bundle, which: str) -> None:
    path: Path = getattr(bundle, which)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 4096)
    done = verify_bundles([bundle])
    assert [(check.name, check.subject) for check in failed(done)] == [
        ("structure", path.name),
        ("hash", path.name),
    ]
    assert "lies outside the file" in done.problems
    assert str(bundle.folder) not in done.problems  # the subject says which file
    assert f"has {size - 4096} bytes instead of {size}" in done.problems
    assert the_forward(done).ok is None
    assert path.stat().st_size == size - 4096


def test_a_missing_file_fails(bundle: Bundle) -> None:
    bundle.projector.unlink()
    done = verify_bundles([bundle])
    assert {check.subject for check in failed(done)} == {bundle.projector.name}
    assert the_forward(done).ok is None


@pytest.mark.parametrize(
    ("offset", "what"), [(1 << 40, "lies outside the file"), (33, "not a multiple of 32")]
)
def test_a_spoiled_tensor_table_is_found_without_a_manifest(bare: Bundle, offset: int, what: str) -> None:
    name = GGUFInfo.read(bare.model).tensors[-1].name
    raw = bytearray(bare.model.read_bytes())
    at = raw.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
    (n_dims,) = struct.unpack_from("<I", raw, at)
    struct.pack_into("<Q", raw, at + 4 + 8 * n_dims + 4, offset)
    bare.model.write_bytes(raw)
    done = verify_bundles([bare], forward=False)
    (check,) = failed(done)
    assert (check.name, check.subject) == ("structure", bare.model.name)
    assert name in check.detail
    assert what in check.detail


def test_a_projector_of_another_model_fails(bare: Bundle) -> None:
    raw = bare.projector.read_bytes()
    width = b"clip.vision.projection_dim" + struct.pack("<I", 4)
    assert raw.count(width) == 1
    at = raw.index(width) + len(width)
    bare.projector.write_bytes(raw[:at] + struct.pack("<I", 288) + raw[at + 4 :])
    done = verify_bundles([bare])
    assert [(check.name, check.subject) for check in failed(done)] == [("structure", pair(bare))]
    assert "does not belong to" in done.problems
    assert the_forward(done).ok is None


def test_files_without_a_manifest_have_no_hash_to_compare_with(bare: Bundle) -> None:
    done = verify_bundles([bare], forward=False)
    assert done.ok
    assert [check.ok for check in done.checks if check.name == "hash"] == [None, None]
    assert all(MANIFEST_NAME in check.detail for check in done.checks if check.name == "hash")


@pytest.mark.parametrize(
    ("which", "tensor", "value", "reason"),
    [
        ("model", "output_norm.weight", np.nan, "logits are not finite"),
        ("model", "blk.1.ffn_down.weight", np.inf, "logits are not finite"),
        ("projector", "v.post_ln.weight", np.nan, "logits are not finite"),
        ("model", "output_norm.weight", 0, "logits are equal"),
    ],
)
def test_spoiled_weights_fail_in_the_forward(
    bare: Bundle, which: str, tensor: str, value: float, reason: str
) -> None:
    overwrite(getattr(bare, which), tensor, value)
    done = verify_bundles([bare])
    (check,) = failed(done)
    assert (check.name, check.subject) == ("forward", pair(bare))
    assert reason in check.detail


def test_what_llama_cpp_refuses_fails_with_its_reason(bare: Bundle) -> None:
    raw = bare.model.read_bytes()
    key = b"tokenizer.ggml.pre" + struct.pack("<IQ", 8, 5)
    assert key + b"qwen2" in raw
    bare.model.write_bytes(raw.replace(key + b"qwen2", key + b"qwenX"))
    (check,) = failed(verify_bundles([bare]))
    assert check.name == "forward"
    assert "unknown pre-tokenizer type: 'qwenX'" in check.detail


def test_several_models_share_a_projector_that_is_read_once(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, int]] = []

    def run_trial(model: Path, projector: Path, size_bytes: int) -> Trial:
        tried.append((model.name, size_bytes))
        return Trial(True, "fine")

    monkeypatch.setattr(verification, "run_trial", run_trial)
    twin = Path(shutil.copy(bundle.model, bundle.folder / "twin-X.gguf"))
    manifest = Manifest.read(bundle.folder)
    another = replace(manifest.models[0][0], name=twin.name, type="X")
    replace(manifest, files=(*manifest.files, another)).write(bundle.folder / MANIFEST_NAME)
    done = verify_bundles(find_bundles(bundle.folder))
    assert done.ok
    names = [bundle.model.name, bundle.projector.name, twin.name]
    for look in ("structure", "hash"):
        files = [check.subject for check in done.checks if check.name == look and " + " not in check.subject]
        assert files == names
    size_bytes = bundle.model.stat().st_size + bundle.projector.stat().st_size
    assert tried == [(bundle.model.name, size_bytes), (twin.name, size_bytes)]
    flip_last_byte(twin)
    assert [check.subject for check in failed(verify_bundles(find_bundles(bundle.folder)))] == [twin.name]


def test_every_part_of_a_split_model_is_checked(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint")
    plan = plan_conversion(checkpoint, Recipe(types=("f32",), split_max_bytes=1 << 21))
    folder = tmp_path / "bundle"
    run_plan(plan, folder)
    (whole,) = find_bundles(folder)
    parts = [folder / file.name for file in plan.files if file.role == "model"]
    assert len(parts) > 2
    done = verify_bundles([whole])
    assert done.ok
    assert the_forward(done).ok
    assert [check.subject for check in done.checks if check.name == "hash"] == [
        *(part.name for part in parts),
        whole.projector.name,
    ]
    assert flip_last_byte(whole.model) == parts[-1]
    assert [check.subject for check in failed(verify_bundles([whole], forward=False))] == [parts[-1].name]
    parts[1].unlink()
    with parts[2].open("r+b") as file:
        file.truncate(100)
    structure, *hashes = failed(verify_bundles([whole]))
    assert (structure.name, structure.subject) == ("structure", whole.model.name)
    assert parts[1].name in structure.detail
    assert [(check.name, check.subject) for check in hashes] == [
        ("hash", path.name) for path in dict.fromkeys([*parts[1:3], parts[-1]])
    ]


def test_a_projector_from_elsewhere_is_not_the_manifest_s(bundle: Bundle, tmp_path: Path) -> None:
    other = Path(shutil.copy(bundle.projector, tmp_path / "mmproj-other.gguf"))
    done = verify_bundles([find_bundle(bundle.folder, other)], forward=False)
    assert {check.subject: check.ok for check in done.checks if check.name == "hash"} == {
        bundle.model.name: True,
        other.name: None,
    }


def test_progress_counts_every_byte_that_is_read(bundle: Bundle) -> None:
    tasks: list[tuple[str, int | None, str]] = []
    done: list[int] = []

    class Counted:
        def advance(self, amount: int = 1) -> None:
            done.append(amount)

    class Counting:
        @contextmanager
        def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
            tasks.append((description, total, unit))
            yield Counted()

    verify_bundles([bundle], forward=False, progress=Counting())
    size_bytes = bundle.model.stat().st_size + bundle.projector.stat().st_size
    assert tasks == [("verifying", size_bytes, "bytes")]
    assert sum(done) == size_bytes


@pytest.mark.parametrize("outcome", [Trial(False, "crash (SIGSEGV)"), Trial(None, "not tried: needs more")])
def test_a_trial_that_did_not_succeed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, outcome: Trial
) -> None:
    monkeypatch.setattr(verification, "run_trial", lambda *_: outcome)
    done = verify_bundles([bundle])
    assert (the_forward(done).ok, the_forward(done).detail) == (outcome.ok, outcome.detail)
    assert done.ok is (outcome.ok is None)


def test_everything_is_ready_for_json(bundle: Bundle) -> None:
    flip_last_byte(bundle.model)
    value = json.loads(json.dumps(verify_bundles([bundle], forward=False).to_dict()))
    assert value["ok"] is False
    assert list(value["checks"][0]) == ["name", "subject", "ok", "detail"]
