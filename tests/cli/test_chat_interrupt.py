"""Ctrl-C while an answer is generated."""

import asyncio
import os
import signal
import sys
import threading

import pytest

from qwen3vl_edge.cli.interrupt import Interrupted, answering, raise_on_interrupt, signals_kept

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")


class Engine:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


def test_ctrl_c_cancels_the_answer_and_raises_nothing() -> None:
    engine = Engine()
    raise_on_interrupt()
    handler = signal.getsignal(signal.SIGINT)
    with answering(engine) as pressed:
        assert not pressed.is_set()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            assert engine.cancelled.wait(10)
            assert pressed.wait(10)
            engine.cancelled.clear()
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_thread_that_waits_for_ctrl_c_is_gone_afterwards() -> None:
    before = threading.active_count()
    with answering(Engine()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_other_threads_change_no_signals() -> None:
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def answer() -> None:
        with answering(Engine()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_what_asyncio_does_to_signals_is_undone() -> None:
    raise_on_interrupt()
    handler = signal.getsignal(signal.SIGINT)
    wakes = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes)

    async def prompt() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.remove_signal_handler(signal.SIGINT)

    with signals_kept():
        asyncio.run(prompt())
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.set_wakeup_fd(-1) == wakes
