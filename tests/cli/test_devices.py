"""`qwen3vl-edge devices`, and the options that say where a model runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3vl_edge.cli.device_options import placement
from qwen3vl_edge.cli.device_view import print_devices_json, show_devices
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.devices import Device
from qwen3vl_edge.runtime.placement import ALL_LAYERS, Placement
from tests.calls import Call, calling

CPU = Device("CPU", "EPYC", "cpu", "cpu", 3 * 10**9, 16 * 10**9)
GPU = Device("Vulkan0", "Iris [red]\x1b[2J", "vulkan", "gpu", 5 * 10**9, 8 * 10**9, handle=77)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `qwen3vl-edge devices`; gives exit code, stdout and stderr."""

    return calling(monkeypatch, capsys, "devices")


def test_json_lists_this_cpu(devices: Call) -> None:
    code, out, err = devices("--json")
    found = json.loads(out)
    cpu = next(each for each in found["devices"] if each["kind"] == "cpu")
    assert (code, err, cpu["name"], cpu["backend"]) == (0, "", "CPU", "cpu")
    assert 0 < cpu["free_bytes"] <= cpu["total_bytes"]
    assert set(cpu) == {"name", "description", "backend", "kind", "free_bytes", "total_bytes"}
    assert found["auto"] in {each["name"] for each in found["devices"]}
    assert "cpu" in found["backends"]


def test_the_table_has_a_line_a_device(devices: Call) -> None:
    code, out, err = devices()
    assert (code, err) == (0, "")
    assert out.startswith("device ")
    assert any(line.split()[:3] == ["CPU", "cpu", "CPU"] for line in out.splitlines())


def test_a_gpu_in_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The description is a driver's text: neither markup nor escape sequences are obeyed."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "platform", "linux")
    show_devices([GPU, CPU], ["cpu", "vulkan"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["Vulkan0", "vulkan", "GPU", "Iris", r"[red]\x1b[2J", "5.0", "GB", "8.0", "GB"]
    assert lines[2] == ["CPU", "cpu", "CPU", "EPYC", "3.0", "GB", "16.0", "GB"]
    assert [" ".join(line) for line in lines[3:]] == [
        "--device auto picks Vulkan0",
        "backends built in: cpu, vulkan",
        "to build another: `make setup BACKEND=cuda`",
    ]


def test_where_nothing_is_left_to_build_nothing_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    show_devices([CPU], ["cpu", "metal"])
    assert capsys.readouterr().out.splitlines()[-1] == "backends built in: cpu, metal"


def test_json_keeps_pointers_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    print_devices_json([GPU, CPU], ["cpu", "vulkan"])
    found = json.loads(capsys.readouterr().out)
    assert (found["auto"], found["backends"]) == ("Vulkan0", ["cpu", "vulkan"])
    assert "77" not in json.dumps(found)


def test_a_llama_cpp_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['qwen3vl-edge', 'devices']; from qwen3vl_edge.cli.main import run; run()"
    )
    environment = {**os.environ, "LLAMA_CPP_LIB_PATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("qwen3vl-edge: error: llama-cpp-python does not load (")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("layers", "number"), [("auto", None), ("ALL", ALL_LAYERS), ("0", 0), (" 12 ", 12), ("all", ALL_LAYERS)]
)
def test_options_become_a_placement(layers: str, number: int | None) -> None:
    assert placement("cuda0", layers, "cpu") == Placement("cuda0", number, "cpu")
    assert placement("auto", layers, None).projector_device is None


@pytest.mark.parametrize("layers", ["", "-1", "1.5", "many", "٣"])
def test_a_number_of_layers_that_is_none(layers: str) -> None:
    with pytest.raises(UsageError, match=r"--gpu-layers .*give auto, a number of layers, or all"):
        placement("auto", layers, None)
