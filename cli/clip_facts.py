"""What `inspect` prints of a clip."""

import sys
from pathlib import Path

from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.errors import MediaError

__all__ = ["show"]


def show(path: Path, *, as_json: bool) -> None:
    """Print what the container says and what was found in it.

    Raises:
        MediaError: Nothing of it can be read.
    """
    try:
        from qwen3vl_edge.video.facts import clip_facts
    except ImportError as error:
        raise MediaError(f"OpenCV does not load ({error}); pip install opencv-python-headless") from error
    facts = clip_facts(path)
    if as_json:
        print_json(facts.to_dict())
        return
    found, container = facts.found, facts.container
    lines = {facts.kind: f"{escaped(facts.path)}, {facts.size_bytes / 1000:,.0f} kB"}
    if container is not None:
        n_frames = "an unknown number of" if container.n_frames is None else str(container.n_frames)
        lines["its header says"] = (
            f"{n_frames} frames at {container.fps:g} fps, {container.width}×{container.height} px, "
            f"codec {escaped(container.codec) or 'unknown'}"
            + (f", turned by {container.rotation_deg}°" if container.rotation_deg else "")
        )
    lines["found"] = (
        f"{found.n_frames} frames at {found.fps:g} fps: {found.duration_s:.2f} s"
        f"{f' from {found.start_s:g} s' if found.start_s else ''}, {found.width}×{found.height} px upright"
    )
    lines["shown by default"] = (
        f"{facts.n_shown} frames of {facts.shown[0]}×{facts.shown[1]} px, {facts.n_tokens} tokens"
    )
    width = max(map(len, lines))
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in lines.items()))
    for note in facts.notes:
        sys.stderr.write(f"qwen3vl-edge: {escaped(note)}\n")
