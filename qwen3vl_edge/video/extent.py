"""Where a container's frames end: what it claims is checked at its end, not by decoding it all."""

from qwen3vl_edge.video.capture import Capture

__all__ = ["last_number"]

_NEAR = 256  # frames that are rather decoded than searched


def last_number(capture: Capture) -> int:
    """Give the number of the last frame that can be decoded; `capture` has grabbed the first.

    Jumps to the end that the container claims. Where that leads nowhere, the end is searched: back in
    steps that double, then between the last two by halves, then frame by frame.
    """
    claimed = capture.n_claimed
    if not claimed:
        capture.rewind()
    elif not _lands(capture, claimed - 1):
        _approach(capture, claimed - 1)
    last = capture.number
    while capture.grab():
        last = capture.number
    return max(last, 0)


def _approach(capture: Capture, beyond: int) -> None:
    """Stand on some frame before the end; `beyond` is a number that cannot be reached."""
    back = _NEAR
    while back < beyond and not _lands(capture, beyond - back):
        back *= 2
    there, beyond = max(0, beyond - back), beyond - back // 2 if back > _NEAR else beyond
    while beyond - there > _NEAR:
        middle = (there + beyond) // 2
        there, beyond = (middle, beyond) if _lands(capture, middle) else (there, middle)
    if not (there and _lands(capture, there)):
        capture.rewind()


def _lands(capture: Capture, number: int) -> bool:
    """Whether a jump to a frame leads there, or near it, and something can be decoded."""
    return capture.jump(number) and capture.number > number // 2
