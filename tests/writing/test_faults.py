import numpy as np
import pytest

from qwen3vl_edge.writing.faults import largest_magnitude


@pytest.mark.parametrize(
    ("dtype", "bits", "expected"),
    [
        ("BF16", [0x3F80, 0xC000, 0x0001], 2.0),
        ("BF16", [0x3F80, 0xFF80], np.inf),
        ("BF16", [0x7F80, 0xFFC1], np.nan),
        ("F16", [0x3C00, 0xC000], 2.0),
        ("F16", [0xFC00, 0x3C00], np.inf),
        ("F16", [0x7C00, 0x7C01], np.nan),
        ("F32", [0x3F800000, 0xC0000000], 2.0),
        ("F32", [0xFF800000, 0x3F800000], np.inf),
        ("F32", [0xFF800000, 0xFF800001], np.nan),
    ],
)
def test_largest_magnitude(dtype: str, bits: list[int], expected: float) -> None:
    raw = np.array(bits, dtype=np.uint32 if dtype == "F32" else np.uint16)
    stored = raw.view({"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[dtype])
    np.testing.assert_equal(largest_magnitude(stored, dtype), expected)
