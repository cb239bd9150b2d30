"""Supervisor, worker and llama.cpp, with the demo model."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.captions.events import Event, Opened, Parallel, Restarted
from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.sampling import GREEDY
from tests.test_video import write_clip
from tools.demo_model.world import held_out_rng, sample_kinds, sample_scene

PROMPTS = (
    Prompt("caption", "Describe this image.", "Describe this video.", max_tokens=32),
    Prompt("count", "How many shapes are there?", "How many shapes are there?", max_tokens=8),
)


def settings(bundle: Bundle, n_parallel: int | None = 3) -> WorkerSettings:
    engine = EngineSettings(n_ctx=4096, n_threads=2)
    options = GenerateOptions(GREEDY)
    return WorkerSettings(
        bundle.model, bundle.projector, PROMPTS, options, engine=engine, n_parallel=n_parallel
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Request], list[str]]:
    """Twelve pictures of one shape each, and what each shows."""
    folder = tmp_path_factory.mktemp("pictures")
    asked, shown = [], []
    for number in range(12):
        rng = held_out_rng(4000 + number)
        scene = sample_scene(rng, sample_kinds(rng, 1))
        scene.draw().save(folder / f"{number}.png")
        asked.append(Request(number, folder / f"{number}.png", "picture"))
        shown.append(scene.items[0].name)
    return asked, shown


def check(outcomes: list[Outcome], shown: list[str], crashed: set[int]) -> None:
    """Each picture has one outcome, and what is said of nearly all of them is right."""
    assert Counter(outcome.number for outcome in outcomes) == Counter(range(len(shown)))
    assert {outcome.number for outcome in outcomes if outcome.status != "done"} == crashed
    right = 0
    for outcome in outcomes:
        if outcome.status == "done":
            caption, counted = outcome.answers
            assert caption.stop_reason == "stop" and counted.prompt == "How many shapes are there?"
            assert outcome.n_vision_tokens > 0 and outcome.seconds.decode > 0
            right += shown[outcome.number] in caption.text
    assert right >= 0.8 * (len(shown) - len(crashed))


def test_poison_and_kills_cost_nothing_but_the_poison(
    demo_f32: Bundle, pictures: tuple[list[Request], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, shown = pictures
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # the worker is one of the tests'
    worker = Path(__file__).with_name("poisoned_worker.py")
    events: list[Event] = []
    found: list[Outcome] = []
    with Supervisor(
        settings(demo_f32), on_event=events.append, command=[sys.executable, "-P", str(worker), "5"]
    ) as supervisor:
        for outcome in supervisor.run(asked):
            found.append(outcome)
            if len(found) == 3:
                assert supervisor._worker is not None
                os.kill(supervisor._worker.pid, signal.SIGKILL)
    check(found, shown, crashed={5})
    (bad,) = (outcome for outcome in found if outcome.number == 5)
    assert bad.error is not None
    assert "SIGABRT" in bad.error and "GGML_ASSERT(picture is wholesome) failed" in bad.error
    assert sum(isinstance(event, Restarted) for event in events) == 3


def test_the_command_of_the_package_measures_and_captions(
    demo_f32: Bundle, pictures: tuple[list[Request], list[str]], tmp_path: Path
) -> None:
    asked, shown = pictures
    film = Request(len(asked), write_clip(tmp_path / "film.mp4", 12), "clip")
    events: list[Event] = []
    with Supervisor(settings(demo_f32, n_parallel=None), on_event=events.append) as supervisor:
        outcomes = supervisor.run([*asked, film])
        found = [next(outcomes)]
        worker = supervisor._worker
        found += outcomes
    assert worker is not None and worker._child.returncode == 0  # it has closed the model in good order
    check([outcome for outcome in found if outcome.number != film.number], shown, crashed=set())
    (clip,) = (outcome for outcome in found if outcome.number == film.number)
    assert clip.status == "done" and clip.answers[0].prompt == "Describe this video."
    assert [type(event) for event in events if isinstance(event, Opened | Parallel)] == [Opened, Parallel]


def test_a_damaged_model_is_told_in_its_own_words(demo_f32: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "model.gguf"
    broken.write_bytes(demo_f32.model.read_bytes()[:5000])
    told = WorkerSettings(broken, demo_f32.projector, PROMPTS, GenerateOptions(GREEDY))
    with Supervisor(told) as supervisor, pytest.raises(Exception, match=r"model\.gguf") as caught:
        list(supervisor.run([Request(0, tmp_path / "a.png", "picture")]))
    assert caught.type.__module__ == EngineError.__module__
