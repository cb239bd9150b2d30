"""Builds candidate after candidate until one is sound, and says what happens."""

import importlib
import os
import time
from collections.abc import Mapping, Sequence

import native_pip
from native_backends import Backend
from native_compilers import Candidate
from native_trial import ROOT, devices_of, test

LOG = ROOT / "build" / "setup-native.log"
BUILD_CPU_MINUTES = {"cpu": 5.5, "metal": 5.5, "vulkan": 11}  # measured: docs/decisions
LOG_LINES_SHOWN = 25


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for the user."""


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"setup-native: {line}", flush=True)


def build_first_sound(
    candidates: Sequence[Candidate], backend: Backend, native: str, requirements: Mapping[str, str]
) -> Candidate:
    """Build one after the other until one passes its self-test, and give that one.

    Raises:
        SetupError: No candidate can be built and is sound.
    """
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    if backend.note:
        say(backend.note)
    failures: list[str] = []
    for candidate in candidates:
        reason = try_candidate(candidate, backend, native, requirements)
        if reason is None:
            return candidate
        say(f"this build does not do: {reason}")
        failures.append(reason)
    raise SetupError(
        f"no sound build of {native} for {backend.name} ({'; '.join(failures)}); the whole log is {LOG}"
    )


def try_candidate(
    candidate: Candidate, backend: Backend, native: str, requirements: Mapping[str, str]
) -> str | None:
    """Build one candidate and put it to the test; None if it is sound, else why not."""
    say(f"{native} for {backend.name} with {candidate.compiler.version}: {candidate.why}")
    say(f"building, {_expectation(backend)}; log: {os.path.relpath(LOG)}")
    start = time.monotonic()
    if not native_pip.build(native, candidate, backend, LOG):
        show_log()
        return "the build failed"
    if not native_pip.install(list(requirements.values()), LOG):
        show_log()
        return "the dependencies cannot be installed"
    importlib.invalidate_caches()
    say(f"built in {time.monotonic() - start:.0f} s")
    reason = test()
    if reason is not None:
        return reason
    say("self-test passed: it decodes quantized models rightly here, with its fastest kernels")
    return None if backend.name == "cpu" else look_for_devices(backend.name)


def look_for_devices(backend: str) -> str | None:
    """Say which devices of `backend` the library finds, or that there is none; None unless it is broken."""
    found, reason = devices_of(backend)
    if reason is None:
        none = f"none on this machine now; the CPU will do, and `--device {backend}` once there is one"
        say(f"devices of {backend}: {found or none}")
    return reason


def show_log() -> None:
    """Print the end of the log: what went wrong must never be hidden in a file."""
    lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(lines[-LOG_LINES_SHOWN:]), flush=True)


def _expectation(backend: Backend) -> str:
    jobs = native_pip.n_jobs(os.environ)
    minutes = BUILD_CPU_MINUTES.get(backend.name)
    told = "this can take an hour" if minutes is None else f"about {max(1, round(minutes / jobs))} min"
    return f"{jobs} compilers at once, {told}"
