from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qwen3vl_edge.runtime import embedding_cache
from qwen3vl_edge.runtime.embedding_cache import EmbeddingCache, EmbeddingStore

ROW_BYTES = 16


def rows(n: int, value: float = 1) -> NDArray[np.float32]:
    return np.full((n, ROW_BYTES // 4), value, np.float32)


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 8)), max_size=60),
)
def test_what_was_longest_unused_is_forgotten_first(limit: int, steps: list[tuple[bool, int, int]]) -> None:
    cache = EmbeddingCache("p", ram_bytes=limit * ROW_BYTES)
    expected: OrderedDict[int, int] = OrderedDict()
    asked = 0
    for is_put, name, n in steps:
        if is_put:
            cache.put(bytes([name]), rows(n, name))
            expected.pop(name, None)
            if n <= limit:
                expected[name] = n
            while sum(expected.values()) > limit:
                expected.popitem(last=False)
        else:
            asked += 1
            found = cache.get(bytes([name]))
            assert (found is not None) == (name in expected)
            if found is not None:
                expected.move_to_end(name)
                assert np.array_equal(found, rows(expected[name], name))
    assert [name for name in range(6) if cache.has(bytes([name]))] == sorted(expected)
    assert cache.hits + cache.misses == asked


def test_hits_and_misses_are_counted() -> None:
    cache = EmbeddingCache("p", ram_bytes=1000)
    cache.get(b"a")
    cache.put(b"a", rows(1))
    cache.get(b"a")
    cache.get(b"b")
    assert (cache.hits, cache.misses) == (1, 2)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_kept_cannot_be_changed(whole: bool) -> None:
    cache = EmbeddingCache("p", ram_bytes=1000)
    given_rows = rows(4)
    cache.put(b"a", given_rows if whole else given_rows[:2])
    found = cache.get(b"a")
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 9
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True
    if whole:
        with pytest.raises(ValueError, match="read-only"):
            given_rows[0, 0] = 9
    else:
        given_rows[0, 0] = 9  # the caller's own array; what is kept is a copy
        assert found[0, 0] == 1


def test_the_disk_remembers_for_the_next_run(tmp_path: Path) -> None:
    def opened(projector_id: str = "p", variant: str = "") -> EmbeddingCache:
        store = EmbeddingStore(tmp_path, limit_bytes=10_000)
        return EmbeddingCache(projector_id, ram_bytes=1000, store=store, variant=variant)

    first = opened()
    first.put(b"a", rows(2, 7))
    first.put(b"large", rows(100, 8))  # larger than the memory's bound
    assert not opened().has(b"b")
    second = opened()
    assert second.has(b"a")
    for digest, expected in ((b"a", rows(2, 7)), (b"large", rows(100, 8))):
        found = second.get(digest)
        assert found is not None
        assert np.array_equal(found, expected)
        assert not found.flags.writeable
    assert (second.hits, second.misses) == (2, 0)
    for file in tmp_path.iterdir():
        file.unlink()
    assert second.get(b"a") is not None, "what came from the disk is in memory now"
    assert second.get(b"large") is None


@pytest.mark.parametrize("other", [("q", ""), ("p", "CUDA0")])
def test_encoders_are_told_apart_on_the_disk(tmp_path: Path, other: tuple[str, str]) -> None:
    store = EmbeddingStore(tmp_path, limit_bytes=10_000)
    EmbeddingCache("p", ram_bytes=0, store=store).put(b"a", rows(2))
    assert EmbeddingCache(other[0], ram_bytes=0, store=store, variant=other[1]).get(b"a") is None
    assert EmbeddingCache("p", ram_bytes=0, store=store).get(b"a") is not None


def test_another_build_of_llama_cpp_does_not_see_what_this_one_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path, limit_bytes=10_000)
    EmbeddingCache("p", ram_bytes=0, store=store).put(b"a", rows(2))
    monkeypatch.setattr(embedding_cache, "build_id", lambda: "another")
    assert EmbeddingCache("p", ram_bytes=0, store=store).get(b"a") is None
