import signal
from collections.abc import Iterator

import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.converters import convert
from qwen3vl_edge.demo import CHECKPOINT
from tests.tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's cache; the self-test of llama.cpp then runs once a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Undo what a command run in this process does to Ctrl-C: its watcher ends the process."""
    handler, wakes = signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)
    yield
    signal.signal(signal.SIGINT, handler)
    signal.set_wakeup_fd(wakes)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The seeded tiny checkpoint as an F32 bundle: meaningless answers, exact logits."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoint = write_tiny_checkpoint(folder / "checkpoint")
    return convert(checkpoint, folder / "bundle", type="f32", projector_type="f32", name="tiny")


@pytest.fixture(scope="session")
def demo_f32(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The demo model as an F32 bundle."""
    folder = tmp_path_factory.mktemp("demo")
    return convert(CHECKPOINT, folder, type="f32", projector_type="f32", name="demo")
