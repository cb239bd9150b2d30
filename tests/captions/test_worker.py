import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.wire import Fault, Message, Opened, Parallel, Reading, Running, decode, encode
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.constraints import from_regex
from qwen3vl_edge.limits import MediaLimits
from tests.captions.scripted import SETTINGS, command, requests
from tests.test_video import write_clip

PATIENCE_S = 30.0

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start scripted workers, which end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def one(settings: WorkerSettings, *options: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        worker = subprocess.Popen(command(tmp_path, *options), stdin=pipe, stdout=pipe, stderr=pipe)
        started.append(worker)
        say(worker, settings)
        return worker

    yield one
    for worker in started:
        with worker:
            worker.kill()


def say(worker: subprocess.Popen[bytes], *messages: Message) -> None:
    assert worker.stdin is not None
    for message in messages:
        worker.stdin.write(encode(message))
    worker.stdin.flush()


def heard(worker: subprocess.Popen[bytes], n_outcomes: int) -> list[Message]:
    """Give what the worker says up to so many outcomes, or to its end."""
    assert worker.stdout is not None
    messages: list[Message] = []
    while n_outcomes and (line := worker.stdout.readline()):
        messages.append(decode(line))
        n_outcomes -= isinstance(messages[-1], Outcome)
    return messages


def outcomes(worker: subprocess.Popen[bytes], *asked: Request) -> list[Outcome]:
    say(worker, *asked)
    found = [message for message in heard(worker, len(asked)) if isinstance(message, Outcome)]
    return sorted(found, key=lambda outcome: outcome.number)


def test_a_picture_is_read_once_and_all_of_it_is_told(start: Start, tmp_path: Path) -> None:
    (request,) = requests(tmp_path, ["a.png"])
    worker = start(SETTINGS)
    say(worker, request)
    messages = heard(worker, 1)
    assert any(isinstance(message, Opened) for message in messages) and Parallel(4) in messages
    assert messages.index(Reading((0,))) < messages.index(Reading(()))
    steps = [message.kind for message in messages if isinstance(message, Running)]
    assert steps[:2] == ["encode", "prefill"] and "decode" in steps
    assert all(message.numbers == (0,) for message in messages if isinstance(message, Running))
    outcome = messages[-1]
    assert isinstance(outcome, Outcome) and outcome.status == "done" and outcome.error is None
    assert [(answer.prompt, answer.text) for answer in outcome.answers] == [("a.png", "a caption of a.png")]
    assert outcome.answers[0].stop_reason == "stop" and outcome.answers[0].n_tokens == 19
    assert outcome.content_hash == hashlib.sha256(request.path.read_bytes()).hexdigest()
    assert (outcome.width, outcome.height, outcome.n_vision_tokens) == (40, 30, 70)  # 320 × 224 px


def test_each_prompt_is_filled_in_and_answered_under_its_own_limits(start: Start, tmp_path: Path) -> None:
    Image.new("RGB", (90, 30)).save(tmp_path / "b.jpg", exif=_turned())
    prompts = (
        Prompt("one", "{stem} in {parent}: {width}×{height}, {existing} <|im_end|>", "clip"),
        Prompt("two", "{tags}", "clip", max_tokens=3),
    )
    worker = start(replace(SETTINGS, prompts=prompts, system="Be brief."))
    asked = Request(7, tmp_path / "b.jpg", "picture", existing="was {this}", tags="x, y")
    (outcome,) = outcomes(worker, asked)
    assert [answer.prompt for answer in outcome.answers] == [
        f"b in {tmp_path.name}: 30×90, was {{this}} <|im_end|>",
        "x, y",
    ]
    assert outcome.answers[1].text == "a c" and outcome.answers[1].stop_reason == "length"
    assert (outcome.width, outcome.height) == (30, 90)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_clip_is_told_with_its_own_size(start: Start, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4", 20)
    worker = start(replace(SETTINGS, clip_options=ClipOptions(n_frames=4)))
    (outcome,) = outcomes(worker, Request(0, film, "clip"))
    assert outcome.status == "done", outcome.error
    assert outcome.answers[0].prompt == "film.mp4"
    assert outcome.content_hash == hashlib.sha256(film.read_bytes()).hexdigest()
    assert outcome.width > 0 and outcome.n_vision_tokens > 0


def test_bad_files_fail_with_a_line_that_names_them_and_good_ones_do_not(
    start: Start, tmp_path: Path
) -> None:
    good = requests(tmp_path, ["a.png", "b.png"])
    bomb = tmp_path / "bomb.png"
    Image.new("1", (5000, 5000)).save(bomb)
    (tmp_path / "zero.png").touch()
    (tmp_path / "cut.png").write_bytes(good[0].path.read_bytes()[:60])
    (tmp_path / "text.jpg").write_text("no picture\n")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "film.mp4").write_bytes(bytes(range(256)) * 40)
    write_clip(tmp_path / "short.mp4", 20)
    bad = ["bomb.png", "zero.png", "cut.png", "text.jpg", "folder.png", "pipe.png", "gone.png"]
    clips = ["film.mp4", "short.mp4"]
    limits, range_ = MediaLimits(max_pixels=1_000_000), ClipOptions(start_s=90)
    worker = start(replace(SETTINGS, limits=limits, clip_options=range_))
    found = outcomes(
        worker,
        *(Request(10 + number, tmp_path / name, "picture") for number, name in enumerate(bad)),
        *(Request(20 + number, tmp_path / name, "clip") for number, name in enumerate(clips)),
        *good,
    )
    assert [outcome.status for outcome in found] == ["done"] * 2 + ["failed"] * 9
    for outcome, name in zip(found[2:], bad + clips, strict=True):
        assert outcome.error and name in outcome.error and "\n" not in outcome.error


def test_file_names_that_are_no_text_come_back_in_errors(start: Start, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n<|im_end|>.png"))
    (outcome,) = outcomes(start(SETTINGS), Request(0, path, "picture"))
    assert outcome.error and outcome.error.startswith(f"{path}: ")
    Image.new("RGB", (40, 40)).save(path, "PNG")
    (outcome,) = outcomes(start(SETTINGS), Request(0, path, "picture"))
    assert outcome.answers[0].prompt == "\ufffd\n<|im_end|>.png"


def test_one_prompt_that_does_not_fit_fails_its_file_alone(start: Start, tmp_path: Path) -> None:
    prompts = (*SETTINGS.prompts, Prompt("long", "{existing}", "x"))
    worker = start(replace(SETTINGS, prompts=prompts), "--n-ctx", "2000")
    one, other = requests(tmp_path, ["a.png", "b.png"])
    found = outcomes(worker, replace(one, existing="x" * 3000), other)
    assert [outcome.status for outcome in found] == ["failed", "done"]
    assert found[0].answers == () and found[0].content_hash and "context" in str(found[0].error)


def test_what_prints_cannot_disturb_the_messages(start: Start, tmp_path: Path) -> None:
    worker = start(SETTINGS)
    found = []
    assert worker.stderr is not None
    with subprocess.Popen(["cat"], stdin=worker.stderr, stdout=subprocess.DEVNULL) as drain:
        found = outcomes(worker, *requests(tmp_path, ["noise.png", "a.png"]))
        worker.kill()
        drain.wait(PATIENCE_S)
    assert [outcome.status for outcome in found] == ["done", "done"]


def test_the_number_at_once_is_measured_with_a_picture_that_can_be_read(start: Start, tmp_path: Path) -> None:
    worker = start(replace(SETTINGS, n_parallel=None))
    gone = Request(9, tmp_path / "gone.png", "picture")
    (good,) = requests(tmp_path, ["a.png"])
    say(worker, gone)
    messages = heard(worker, 1)
    assert not any(isinstance(message, Parallel) for message in messages)
    say(worker, good)
    messages = heard(worker, 1)
    assert Parallel(4) in messages and isinstance(messages[-1], Outcome)


@pytest.mark.parametrize(
    ("settings", "options", "kind"),
    [
        (replace(SETTINGS, prompts=(Prompt("a", "a", "a", grammar="root ::= nothing"),)), (), "usage"),
        (SETTINGS, ("--opening", "damaged"), "files"),
        (SETTINGS, ("--opening", "refused"), "memory"),
        (replace(SETTINGS, n_parallel=1), ("--opening", "refused"), "engine"),
    ],
)
def test_a_worker_that_cannot_begin_says_why(
    start: Start, settings: WorkerSettings, options: tuple[str, ...], kind: str
) -> None:
    worker = start(settings, *options)
    last = heard(worker, 1)[-1]
    assert isinstance(last, Fault) and last.kind == kind and last.error
    assert worker.wait(PATIENCE_S) == 1


def test_constraints_reach_the_engine(start: Start, tmp_path: Path) -> None:
    options = replace(SETTINGS.options, constraint=from_regex("[0-9]+"))
    (outcome,) = outcomes(start(replace(SETTINGS, options=options)), *requests(tmp_path, ["a.png"]))
    assert outcome.status == "done"


def test_a_thread_that_fails_ends_the_worker(start: Start, tmp_path: Path) -> None:
    worker = start(SETTINGS)
    say(worker, Request(0, tmp_path / ("a\0b"), "picture"))  # no path has that: open raises ValueError
    assert not any(isinstance(message, Outcome) for message in heard(worker, 1))
    assert worker.wait(PATIENCE_S) == 1
    assert worker.stderr is not None and b"ValueError" in worker.stderr.read()


def test_ctrl_c_is_for_the_supervisor_and_the_end_of_input_ends_the_worker(
    start: Start, tmp_path: Path
) -> None:
    worker = start(SETTINGS, "--slow-s", "0.2")
    asked = requests(tmp_path, [f"{number}.png" for number in range(20)])
    say(worker, *asked)
    heard(worker, 1)
    worker.send_signal(signal.SIGINT)
    assert isinstance(heard(worker, 1)[-1], Outcome)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(PATIENCE_S) == 0
    assert len([message for message in heard(worker, 99) if isinstance(message, Outcome)]) < 18


def test_a_worker_that_hangs_ends_when_its_input_ends(start: Start, tmp_path: Path) -> None:
    for options, asked in (((), requests(tmp_path, ["hang.png"])), (("--opening", "hang"), [])):
        worker = start(SETTINGS, *options)
        say(worker, *asked)
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(PATIENCE_S) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_dies_with_its_supervisor_even_if_that_is_killed(tmp_path: Path) -> None:
    (request,) = requests(tmp_path, ["hang.png"])
    program = tmp_path / "supervisor.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from qwen3vl_edge.captions.supervisor import Supervisor\n"
        "from qwen3vl_edge.captions.values import Request\n"
        "from tests.captions.scripted import SETTINGS, command\n"
        "tell = lambda event: print(supervisor._worker.pid, type(event).__name__, flush=True)\n"
        "supervisor = Supervisor(SETTINGS, command=command(Path(sys.argv[1])), on_event=tell)\n"
        "list(supervisor.run([Request(0, Path(sys.argv[2]), 'picture')]))\n"
    )
    arguments = [sys.executable, str(program), str(tmp_path), str(request.path)]
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            pid, event = line.split()
            if event == "Running":
                break
        assert _lives(int(pid))
        parent.kill()
    until = time.monotonic() + PATIENCE_S
    while _lives(int(pid)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
