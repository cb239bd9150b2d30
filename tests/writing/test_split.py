import pytest

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.split_names import PartName, parse_part_name, part_name
from qwen3vl_edge.writing.split import parse_size, split_indices


@pytest.mark.parametrize(
    ("text", "size"),
    [("4G", 4 * 10**9), ("500M", 5 * 10**8), ("3k", 3000), ("2GB", 2 * 10**9), ("1T", 10**12), (" 12 ", 12)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "0", "4.5G", "4GiB", "1e9", "9" * 30, "４G"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size; give one like 4G"):
        parse_size(text)


@pytest.mark.parametrize(
    ("sizes", "limit", "parts"),
    [
        ([5, 5, 5], None, [3]),
        ([5, 5, 5], 15, [3]),
        ([5, 5, 5], 14, [2, 1]),
        ([5, 5, 5], 1, [1, 1, 1]),
        ([20, 5, 5, 20], 10, [1, 2, 1]),
    ],
)
def test_parts(sizes: list[int], limit: int | None, parts: list[int]) -> None:
    found = split_indices(sizes, limit)
    assert [len(part) for part in found] == parts
    assert [i for part in found for i in part] == list(range(len(sizes)))


def test_too_many_parts() -> None:
    with pytest.raises(UsageError, match="makes 70000 parts"):
        split_indices([2] * 70000, 1)


def test_names() -> None:
    assert part_name("M-Q8_0", 2, 31) == "M-Q8_0-00002-of-00031.gguf"
    assert parse_part_name("M-00002-of-00031.gguf") == PartName("M", 2, 31)
    for name in ("M.gguf", "M-2-of-31.gguf", "M-00002-of-00031.gguf.part", "-00002-of-00031.gguf"):
        assert parse_part_name(name) is None
