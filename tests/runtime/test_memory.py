"""How much memory there is, within a limit of address space."""

import sys
from pathlib import Path

import pytest

from qwen3vl_edge.runtime import memory
from qwen3vl_edge.runtime.memory import available_bytes

resource = pytest.importorskip("resource")

MIB = 1 << 20


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process with a limit of 2048 MiB on a machine with more; give the file of its pages."""
    pages = tmp_path / "statm"
    monkeypatch.setattr(memory, "_OWN_PAGES", pages)
    monkeypatch.setattr(memory, "_mem_available", lambda: 10**13)
    monkeypatch.setattr(memory, "_group_limit", lambda: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2048 * MIB, resource.RLIM_INFINITY))
    return pages


@pytest.mark.parametrize(("mapped_mib", "left_mib"), [(0, 1856), (1000, 856), (1856, 0), (4000, 0)])
def test_what_is_mapped_and_what_threads_map_is_taken_off(
    limited: Path, mapped_mib: int, left_mib: int
) -> None:
    limited.write_text(f"{mapped_mib * MIB // resource.getpagesize()} 1 1 1 0 1 0\n")
    assert available_bytes() == left_mib * MIB


@pytest.mark.parametrize("content", ["", "many pages\n"])
def test_an_unreadable_count_sets_no_limit(limited: Path, content: str) -> None:
    limited.write_text(content)
    assert available_bytes() == 10**13


@pytest.mark.skipif(sys.platform != "linux", reason="statm is Linux's")
def test_without_a_limit_there_is_none(limited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited.write_text("1000 1 1 1 0 1 0\n")
    assert available_bytes() == 2048 * MIB - 1000 * resource.getpagesize() - 192 * MIB
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert available_bytes() == 10**13
