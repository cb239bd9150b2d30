"""What `inspect` prints of a clip."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.errors import MediaError

if TYPE_CHECKING:  # OpenCV may be missing
    from qwen3vl_edge.video.facts import ClipFacts
    from qwen3vl_edge.video.whole import Decoded

__all__ = ["show"]


def show(path: Path, *, as_json: bool, verify: bool) -> None:
    """Print what the container says and what was found in it; decode all of it if it is to be verified.

    Raises:
        MediaError: Nothing of it can be read, or, after all else is printed, it is not whole.
    """
    try:
        from qwen3vl_edge.video.facts import clip_facts
        from qwen3vl_edge.video.whole import decode_all
    except ImportError as error:
        raise MediaError(f"OpenCV does not load ({error}); pip install opencv-python-headless") from error
    from qwen3vl_edge.cli import view

    facts = clip_facts(path)
    done = decode_all(path, view.progress()) if verify else None
    if as_json:
        print_json(facts.to_dict() | ({} if done is None else {"verification": done.to_dict()}))
    else:
        _print(facts, done)
    if done is not None and not done.ok:
        lost = [f"{done.n_damaged} of its frames cannot be decoded"] if done.n_damaged else []
        raise MediaError(f"{path}: not whole: {'; '.join([*lost, *done.missing])}")


def _print(facts: "ClipFacts", done: "Decoded | None") -> None:
    found, container = facts.found, facts.container
    lines = {facts.kind: f"{escaped(facts.path)}, {facts.size_bytes / 1000:,.0f} kB"}
    if container is not None:
        n_frames = container.n_frames
        claimed = "an unknown number of frames" if n_frames is None else _frames(n_frames)
        lines["its header says"] = (
            f"{claimed} at {container.fps:g} fps, {container.width}×{container.height} px, "
            f"codec {escaped(container.codec) or 'unknown'}"
            + (f", turned by {container.rotation_deg}°" if container.rotation_deg else "")
        )
    lines["found"] = (
        f"{_frames(found.n_frames)} at {found.fps:g} fps: {found.duration_s:.2f} s"
        f"{f' from {found.start_s:g} s' if found.start_s else ''}, {found.width}×{found.height} px upright"
    )
    lines["shown as a clip" if facts.kind == "picture" else "shown by default"] = (
        f"{_frames(facts.n_shown)} of {facts.shown[0]}×{facts.shown[1]} px, {facts.n_tokens} tokens"
    )
    if done is not None:
        damaged = f", {done.n_damaged} cannot be" if done.n_damaged else ""
        lines["decoded"] = f"{_frames(done.n_decoded)}{damaged}"
    width = max(map(len, lines))
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in lines.items()))
    for note in facts.notes:
        sys.stderr.write(f"qwen3vl-edge: {escaped(note)}\n")


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"
