import json

import pytest

from qwen3vl_edge.clips import Footage, plan_clip
from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.limits import VideoLimits
from tests.goldens import GOLDEN, digest


@pytest.mark.parametrize("row", json.loads((GOLDEN / "clips.json").read_text()), ids=lambda r: r["footage"])
def test_plan_is_that_of_the_reference(row: dict[str, object]) -> None:
    plan = plan_clip(Footage(**row["footage"]), VideoLimits())  # type: ignore[arg-type]
    n_indices = row["n_indices"]
    assert isinstance(n_indices, int)
    assert digest(list(plan.indices[:n_indices])) == row["indices_sha256"]
    assert digest([f"{stamp:.1f}" for stamp in plan.stamps_s]) == row["stamps_sha256"]
    assert (plan.width, plan.height) == (row["width"], row["height"])


def test_an_odd_last_frame_is_repeated() -> None:
    plan = plan_clip(Footage(5, 2.0, 64, 64), VideoLimits())
    assert plan.indices == (0, 1, 2, 3, 4, 4)
    assert plan.stamps_s == (0.25, 1.25, 2.0)


def test_no_frames_are_refused() -> None:
    with pytest.raises(MediaError, match="no frames"):
        plan_clip(Footage(0, 25.0, 64, 64), VideoLimits())
