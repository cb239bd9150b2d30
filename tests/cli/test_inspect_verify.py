"""`inspect --verify` and what `convert` says of its own verification; in this process."""

import json
import shutil
from pathlib import Path

import pytest

from qwen3vl_edge import inspection, verification
from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.cli.verification_view import show_outcome
from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.manifest import MANIFEST_NAME
from qwen3vl_edge.runtime.trial_process import Trial
from qwen3vl_edge.verification import Check, Verification
from tests.calls import Call, calling
from tests.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `qwen3vl-edge inspect`; gives exit code, stdout and stderr."""

    return calling(monkeypatch, capsys, "inspect")


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "run_trial", lambda *_: Trial(None, "not tried: needs 9.0 GB"))


def model(folder: Path) -> Path:
    return next(path for path in folder.glob("*.gguf") if not path.name.startswith("mmproj-"))


def spoil(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)


def test_a_line_a_check_below_the_inspection(inspect: Call, bundle: Path) -> None:
    _, plain, _ = inspect(bundle)
    code, out, err = inspect(bundle, "--verify")
    assert (code, err) == (0, "")
    assert out.startswith(plain)
    lines = out.removeprefix(plain).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", look] for look in ("structure",) * 3 + ("hash",) * 2 + ("forward",)
    ]


def test_json_has_the_checks(inspect: Call, bundle: Path, untried: None) -> None:
    code, out, err = inspect(bundle, "--verify", "--json")
    value = json.loads(out)["verification"]
    assert (code, err, value["ok"]) == (0, "", True)
    assert [check["ok"] for check in value["checks"]] == [True] * 5 + [None]
    assert "verification" not in json.loads(inspect(bundle, "--json")[1])


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_damage_is_shown_and_exits_1(
    inspect: Call, bundle: Path, untried: None, options: tuple[str, ...]
) -> None:
    spoil(model(bundle))
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    code, out, err = inspect(bundle, "--verify", *options)
    assert code == 1
    assert err.startswith(f"qwen3vl-edge: error: {model(bundle).name}: its SHA-256 is ")
    assert err.count("\n") == 1
    assert ("FAILED   hash" in out) or json.loads(out)["verification"]["ok"] is False
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_a_file_without_a_manifest(inspect: Call, bundle: Path, untried: None) -> None:
    (bundle / MANIFEST_NAME).unlink()
    code, out, err = inspect(model(bundle), "--verify")
    assert (code, err) == (0, "")
    assert out.count("not done ") == 3


def test_the_projector_may_lie_elsewhere(inspect: Call, bundle: Path, untried: None) -> None:
    assert inspect(bundle, "--verify", "--mmproj", next(bundle.glob("mmproj-*")))[0] == 0
    code, _, err = inspect(bundle, "--verify", "--mmproj", model(bundle))
    assert code == 1
    assert "not a Qwen3-VL projector" in err


@pytest.mark.parametrize("size", [0, 5000, None])
@pytest.mark.parametrize("as_json", [False, True])
def test_every_fault_of_a_broken_bundle_is_shown(
    inspect: Call, bundle: Path, size: int | None, as_json: bool
) -> None:
    """The model is cut or gone, so that it cannot be inspected, and the projector has a flipped bit."""
    projector, whole = next(bundle.glob("mmproj-*")), model(bundle)
    spoil(projector)
    if size is None:
        whole.unlink()
    else:
        with whole.open("r+b") as file:
            file.truncate(size)
    code, out, err = inspect(bundle, "--verify", *(["--json"] if as_json else []))
    assert code == 1
    assert err.count("\n") == 1
    if as_json:
        value = json.loads(out)
        assert list(value) == ["path", "verification"]
        assert value["path"] == str(bundle)
        checks = [(c["name"], c["subject"]) for c in value["verification"]["checks"] if c["ok"] is False]
    else:
        lines = [line.split() for line in out.splitlines()]
        checks = [(name, subject.rstrip(":")) for state, name, subject, *_ in lines if state == "FAILED"]
        assert len(lines) == 6
    assert checks == [("structure", whole.name), ("hash", whole.name), ("hash", projector.name)]
    assert all(f"{subject}: " in err for _, subject in checks)


def test_a_sound_bundle_that_cannot_be_shown_is_an_error(
    inspect: Call, bundle: Path, untried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise GGUFError("odd")

    monkeypatch.setattr(inspection, "inspect_path", refuse)
    assert inspect(bundle, "--verify") == (1, "", "qwen3vl-edge: error: odd\n")


def test_wrong_calls_exit_2(inspect: Call, bundle: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint")
    code, out, err = inspect(checkpoint, "--verify")
    assert (code, out) == (2, "")
    assert "--verify is for bundles" in err
    code, out, err = inspect(bundle, "--mmproj", "x.gguf")
    assert (code, out) == (2, "")
    assert "--mmproj needs --verify" in err


def test_text_of_files_is_not_obeyed(
    inspect: Call, bundle: Path, untried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made a file chose these: markup, emoji codes, escape sequences, another direction."""
    odd = "[red]x :fire: \x1b]0;owned\x07\x9b2J\u202efdp.\n"
    shown = r"[red]x :fire: \x1b]0;owned\x07\x9b2J\u202efdp.\n"
    monkeypatch.setenv("COLUMNS", "200")
    path = bundle / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    projector = next(file for file in manifest["files"] if file["role"] == "projector")
    (bundle / projector["name"]).rename(bundle / f"mmproj-{odd}")
    projector["name"], manifest["name"] = f"mmproj-{odd}", odd
    path.write_text(json.dumps(manifest))
    code, out, err = inspect(bundle, "--verify")
    assert (code, err) == (0, "")
    assert out.startswith(f"{shown}  (bundle, ")
    assert out.count(f"mmproj-{shown}") == 1 + 4
    assert all(line.isprintable() for line in out.splitlines())


def test_lines_are_not_wrapped_and_file_names_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    detail = "[red]" + " long" * 50
    show_outcome(Verification((Check("hash", "[bold]x[/bold].gguf", False, detail),)))
    assert capsys.readouterr().out == f"FAILED   hash      [bold]x[/bold].gguf: {detail}\n"


def test_convert_is_brief_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    files = [Check(look, name, True, "") for look in ("structure", "hash") for name in ("a", "b")]  # type: ignore[arg-type]
    forward = Check("forward", "a + b", True, "")
    show_outcome(Verification((*files, forward)))
    assert capsys.readouterr().out == "verified: 2 files, hashes, 1 forward with a picture\n"
    show_outcome(Verification((*files, Check("forward", "a + b", None, "not tried: needs 9.0 GB"))))
    assert capsys.readouterr().out == (
        "verified: 2 files, hashes\nnot done forward   a + b: not tried: needs 9.0 GB\n"
    )
    show_outcome(Verification((*files, Check("forward", "a + b", False, "crash (SIGSEGV)"))))
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED   forward   a + b: crash (SIGSEGV)"
