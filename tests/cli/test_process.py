"""The command as a process of its own: start-up, pipes, and the demo model end to end."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3vl_edge.gguf_format import GGUFArray
from qwen3vl_edge.gguf_info import GGUFInfo

SAMPLES = Path(__file__).parents[2] / "samples"
PROGRAM = (sys.executable, "-c", "from qwen3vl_edge.cli.main import run; run()")


def qwen3vl_edge(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['qwen3vl-edge', '--help']\n"
        "from qwen3vl_edge.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'cv2', 'llama_cpp', 'numpy', 'PIL', 'jinja2', 'gguf', 'rich'} & sys.modules.keys()\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "demo"
    done = qwen3vl_edge("convert", "demo", "-o", folder, "--type", "q8_0", "--json")
    assert done.returncode == 0, done.stderr
    files = {file["role"]: file["name"] for file in json.loads(done.stdout)["files"]}
    assert files == {"model": "demo-Q8_0.gguf", "projector": "mmproj-demo-F16.gguf"}
    assert {path.name for path in folder.iterdir()} == {*files.values(), "manifest.json"}
    return folder


def test_convert_inspect_ask_caption(bundle: Path) -> None:
    shown = json.loads(qwen3vl_edge("inspect", bundle, "--json").stdout)
    assert (shown["kind"], shown["architecture"]) == ("bundle", "qwen3vl")

    asked = qwen3vl_edge(
        "ask",
        bundle / "demo-Q8_0.gguf",
        "Describe this image.",
        "-i",
        SAMPLES / "red_circle.png",
        "--temperature",
        0,
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "red circle" in asked.stdout

    captioned = qwen3vl_edge("caption", bundle, SAMPLES, "--json", "--temperature", 0)
    lines = [json.loads(line) for line in captioned.stdout.splitlines()]
    assert captioned.returncode == 1
    failed = [Path(line["path"]).name for line in lines if "error" in line]
    assert failed == ["truncated.jpg"]
    assert len(lines) >= 6


def test_a_bundle_is_not_overwritten_by_accident(bundle: Path) -> None:
    again = qwen3vl_edge("convert", "demo", "-o", bundle, "--type", "q8_0")
    assert again.returncode == 2
    assert "already holds" in again.stderr
    assert qwen3vl_edge("convert", "demo", "-o", bundle, "--type", "q8_0", "--overwrite").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_captions_reach_a_file_while_bars_stand_on_the_terminal(bundle: Path, tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    with (tmp_path / "captions.jsonl").open("wb") as file:
        program = subprocess.Popen(
            [*PROGRAM, "caption", str(bundle), str(SAMPLES / "red_circle.png"), "--json"],
            stdout=file,
            stderr=end,
        )
        assert program.wait(timeout=60) == 0
    os.close(end)
    os.close(terminal)
    assert json.loads((tmp_path / "captions.jsonl").read_text())["path"].endswith("red_circle.png")


def test_json_with_names_that_are_no_text(bundle: Path, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems have no such names")
    shutil.copy(SAMPLES / "red_circle.png", tmp_path / os.fsdecode(b"caf\xe9.png"))
    done = subprocess.run([*PROGRAM, "caption", bundle, tmp_path, "--json"], capture_output=True, check=False)
    assert json.loads(done.stdout.decode("utf-8"))["path"].endswith("caf\udce9.png")


def test_a_reader_that_leaves_early_is_no_error(bundle: Path) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "inspect", str(bundle)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    program.stdout.close()
    _, said = program.communicate(timeout=60)
    assert said == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_file_names_that_are_no_text(bundle: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "red_circle.png", tmp_path / os.fsdecode(b"caf\xe9.png"))
    shutil.copy(SAMPLES / "blue_circle_moves_right.mp4", tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    shutil.copytree(bundle, moved := tmp_path / os.fsdecode(b"b\xfcndel"))
    command = [*PROGRAM, "caption", moved, tmp_path, "--temperature", "0", "-o", "-"]
    captioned = subprocess.run(command, capture_output=True, check=False)
    assert (captioned.returncode, captioned.stderr) == (0, b"")
    clip, picture = sorted(captioned.stdout.splitlines())
    assert clip.startswith(os.fsencode(tmp_path) + b"/caf\xe9.mp4: ")
    assert picture.startswith(os.fsencode(tmp_path) + b"/caf\xe9.png: ")
    asked = qwen3vl_edge(
        "ask", bundle, "What?", "-v", tmp_path / os.fsdecode(b"caf\xe9.mp4"), errors="replace"
    )
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.parametrize("content", [b"garbage", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500), b""])
def test_a_damaged_clip_is_one_line(bundle: Path, tmp_path: Path, content: bytes) -> None:
    """Native decoders would complain on standard error too."""
    (tmp_path / "damaged.mp4").write_bytes(content)
    asked = qwen3vl_edge("ask", bundle, "What is this?", "-v", tmp_path / "damaged.mp4")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("qwen3vl-edge: error: ")
    assert asked.stderr.count("\n") == 1


def interrupted(arguments: list[str], delay_s: float) -> tuple[int, str, str] | None:
    """Press Ctrl-C `delay_s` seconds after the start; give the exit code, what was printed, what was said.

    None: the program had not begun yet, and Python itself answered.
    """
    program = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(delay_s)
    program.send_signal(signal.SIGINT)
    printed, said = program.communicate(timeout=30)
    has_begun = program.returncode != -signal.SIGINT and "KeyboardInterrupt" not in said
    return (program.returncode, printed, said) if has_begun else None


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_ctrl_c_ends_the_program_at_any_moment(bundle: Path, tmp_path: Path) -> None:
    """Native code calls back into Python for its log: an interrupt there must not be lost."""
    for number in range(2000):  # minutes of work
        (tmp_path / f"{number}.png").symlink_to(SAMPLES / "red_circle.png")
    delays_s = (0.15, 0.3, 0.45, 0.6, 0.9, 1.5, 3.0)
    ended = [interrupted(["caption", str(bundle), str(tmp_path), "-o", "-"], delay_s) for delay_s in delays_s]
    caught = [(code, said.strip()) for code, _, said in filter(None, ended)]
    assert set(caught) == {(130, "qwen3vl-edge: interrupted")}


@pytest.fixture(scope="module")
def endless(bundle: Path) -> list[str]:
    """Options with which an answer goes on for seconds: nothing that ends one may be chosen."""
    ends = {"<|im_end|>", "<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"}
    tokens = GGUFInfo.read(bundle / "demo-Q8_0.gguf").metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, GGUFArray)
    banned = [number for number, token in enumerate(tokens.values()) if token in ends]
    assert len(banned) == len(ends)
    biases = [word for number in banned for word in ("--logit-bias", f"{number}=-100")]
    return [*biases, "--max-tokens", "3000", "--no-loop-guard", "--temperature", "0"]


def ask_and_press_ctrl_c(arguments: list[str], delay_s: float) -> tuple[int, str]:
    """Press Ctrl-C `delay_s` seconds after the answer has begun; give the exit code and what was said."""
    program = subprocess.Popen(
        [*PROGRAM, "ask", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.read(30)
    time.sleep(delay_s)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    return program.returncode, said


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("delay_s", [0, 0.01, 0.03, 0.06, 0.1])
def test_ctrl_c_amid_an_answer(bundle: Path, endless: list[str], delay_s: float) -> None:
    """The evaluation that it breaks off looks like the end of an answer; the command must not end as one."""
    ended = ask_and_press_ctrl_c([str(bundle), "Describe this image.", *endless], delay_s)
    assert ended == (130, "qwen3vl-edge: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
def test_an_interrupted_answer_is_not_kept(bundle: Path, endless: list[str], tmp_path: Path) -> None:
    kept = tmp_path / "talk.q3vl"
    begun = qwen3vl_edge("ask", bundle, "What?", "--session", kept, "--max-tokens", 3)
    assert begun.returncode == 0, begun.stderr
    before = kept.read_bytes()
    for delay_s in (0, 0.02, 0.05):
        asked = [str(bundle), "Go on.", "--session", str(kept), *endless]
        assert ask_and_press_ctrl_c(asked, delay_s) == (130, "qwen3vl-edge: interrupted\n")
        assert kept.read_bytes() == before
    assert list(tmp_path.iterdir()) == [kept]
    fresh = tmp_path / "fresh.q3vl"
    ended = ask_and_press_ctrl_c([str(bundle), "Begin.", "--session", str(fresh), *endless], 0.0)
    assert (ended[0], fresh.exists()) == (130, False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("command", [("ask", "Describe this image.", "--json"), ("caption",)])
def test_an_interrupted_answer_is_not_printed(
    bundle: Path, endless: list[str], command: tuple[str, ...]
) -> None:
    name, *rest = command
    picture = [str(SAMPLES / "red_circle.png")]
    arguments = [name, str(bundle), *rest, *(["-i", *picture] if name == "ask" else picture), *endless]
    assert interrupted(arguments, 1.5) == (130, "", "qwen3vl-edge: interrupted\n")


def in_shell(redirections: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'"$@" {redirections}', "sh", *PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells close streams")
def test_closed_streams(bundle: Path, tmp_path: Path) -> None:
    """What is opened later must not get their numbers: llama.cpp writes to number 2, come what may."""
    asked = ("ask", bundle, "What?", "--max-tokens", 3)
    silent = in_shell(">&-", *asked)
    assert (silent.returncode, silent.stdout, silent.stderr.count("\n")) == (0, "", 1)
    printed = in_shell("2>&-", *asked)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.strip()
    kept = tmp_path / "talk.q3vl"
    assert in_shell("<&- >&- 2>&-", *asked, "--session", kept).returncode == 0
    assert qwen3vl_edge(*asked, "--session", kept).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells close streams")
def test_a_question_from_a_closed_stream(bundle: Path) -> None:
    asked = in_shell("<&-", "ask", bundle, "-")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.startswith("qwen3vl-edge: error: the question is empty")


def test_a_question_that_is_no_text(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "question").write_bytes(b"caf\xe9?")
    with (tmp_path / "question").open() as question:
        asked = qwen3vl_edge("ask", bundle, "-", stdin=question)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("qwen3vl-edge: error: the text is not valid UTF-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "x", "--mmproj", "x.gguf"), "demo brings its own projector"),
        (("demo", "x", "--json", "--reasoning", "shown"), "--reasoning is for plain answers"),
        (("demo", "x", "--no-session-state"), "--no-session-state needs --session"),
    ],
)
def test_options_that_would_be_ignored(arguments: tuple[str, ...], said: str) -> None:
    asked = qwen3vl_edge("ask", *arguments)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert said in asked.stderr
    assert asked.stderr.count("\n") == 1


def test_a_think_budget_for_a_model_that_does_not_think(bundle: Path) -> None:
    asked = qwen3vl_edge("ask", bundle, "x", "--think-budget", 5, "--temperature", 0)
    assert (asked.returncode, asked.stderr.count("\n")) == (0, 1)
    assert "--think-budget changes nothing" in asked.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="others do not limit the address space")
@pytest.mark.parametrize("kilobytes", [360_000, 400_000, 440_000])
def test_a_limited_address_space_is_noticed(bundle: Path, kilobytes: int) -> None:
    """Where an allocation of its threads fails, llama.cpp aborts."""
    command = ["sh", "-c", f'ulimit -v {kilobytes}; "$@"', "sh", *PROGRAM, "ask", str(bundle), "What?"]
    done = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("qwen3vl-edge: error: ")
    assert "memory" in done.stderr or "available" in done.stderr
