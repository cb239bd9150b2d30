"""Scores an answer against the right one. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Found:
    """One entry of a grounding answer; coordinates relative to 1000."""

    box: Box
    label: str


def normalised(answer: str) -> str:
    """Drop the differences that carry no meaning: outer space, case, a final full stop."""
    return " ".join(answer.split()).rstrip(".").lower()


def exact(answer: str, expected: str) -> bool:
    """Whether both say the same."""
    return normalised(answer) == normalised(expected)


def parse_boxes(answer: str) -> list[Found] | None:
    """Parse a grounding answer; None where it is not of that form."""
    try:
        entries = json.loads(answer)
    except json.JSONDecodeError:
        return None
    if not isinstance(entries, list):
        return None
    found = [_parse_entry(entry) for entry in entries]
    return None if None in found else [entry for entry in found if entry is not None]


def _parse_entry(entry: object) -> Found | None:
    if not isinstance(entry, dict):
        return None
    box, label = entry.get("bbox_2d"), entry.get("label")
    if not isinstance(box, list) or len(box) != 4 or not isinstance(label, str):
        return None
    if not all(isinstance(side, int | float) for side in box):
        return None
    x1, y1, x2, y2 = (float(side) for side in box)
    return Found((x1, y1, x2, y2), label)


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(0.0, width) * max(0.0, height)
    union = _area(a) + _area(b) - overlap
    return overlap / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def boxes_score(answer: str, expected: str) -> float:
    """Mean IoU of the expected entries, each with the answer's in its place; a wrong label counts 0."""
    found, wanted = parse_boxes(answer), parse_boxes(expected)
    if not wanted:
        raise ValueError(f"not a grounding answer: {expected!r}")
    if not found or len(found) != len(wanted):
        return 0.0
    pairs = zip(found, wanted, strict=True)
    return sum(iou(got.box, want.box) if got.label == want.label else 0.0 for got, want in pairs) / len(
        wanted
    )
