"""What is planned for clips, in lines and in JSON; and what to do where they do not fit."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.clip_fitting import n_prompt_tokens, option_text, plans_that_fit
from qwen3vl_edge.clips import Clip
from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.messages import Content
from qwen3vl_edge.runtime.engine import Cost

__all__ = ["ShownClips"]

_STAMPS_IN_A_LINE = 4


class ShownClips:
    """The clips of a question.

    Args:
        content: The question; what is no clip is passed over.
        limits: The model's.
        n_answer: Tokens that its answer may take.
    """

    def __init__(self, content: Sequence[Content], limits: VideoLimits, n_answer: int) -> None:
        self.clips = [item for item in content if isinstance(item, Clip)]
        self._limits, self._n_answer = limits, n_answer
        self._said: set[str] = set()

    def say_notes(self) -> None:
        """Say what of the files could not be used, each thing once; some show only when they are read."""
        for note in (note for clip in self.clips for note in clip.notes):
            if note not in self._said:
                self._said.add(note)
                sys.stderr.write(f"qwen3vl-edge: {escaped(note)}\n")

    def check_room(self, cost: Cost) -> None:
        """Make sure, before any work, that the question fits.

        Raises:
            ContextFullError: It does not; with the exact options that help.
        """
        if cost.remaining >= 1 or not self.clips:
            return
        raise ContextFullError(
            f"the question is {cost.prompt} tokens and the context {cost.context}; it fits if you show "
            f"{self.ways(cost)}, or ask for more with --ctx"
        )

    def ways(self, cost: Cost, typed: Callable[[str], str] = str) -> str:
        """Say with which options, each written by `typed`, the clips fit.

        Raises:
            ContextFullError: Not even one frame fits.
        """
        return ", and ".join(
            f"{escaped(Path(clip.source).name)} with {' or '.join(map(typed, options))}"
            for clip, options in zip(self.clips, self._ways(cost), strict=True)
        )

    def to_json(self, cost: Cost) -> list[dict[str, object]]:
        """Give the plan of each clip; ``fits_with`` names options where the question does not fit."""
        return [
            {
                "path": clip.source,
                "duration_s": clip.footage.duration_s,
                "fps": clip.plan.fps,
                "frames": list(clip.plan.indices),
                "stamps_s": list(clip.plan.stamps_s),
                "width": clip.plan.width,
                "height": clip.plan.height,
                "tokens": clip.plan.n_tokens(self._limits.factor),
                "fits_with": ways,
                "notes": list(clip.notes),
            }
            for clip, ways in zip(self.clips, self._ways_or_none(cost), strict=True)
        ]

    def lines(self, cost: Cost) -> Iterator[str]:
        """Give the plan of each clip, in a line or two."""
        for clip, ways in zip(self.clips, self._ways_or_none(cost), strict=True):
            plan, footage = clip.plan, clip.footage
            stamps = [f"{stamp:.1f}" for stamp in plan.stamps_s]
            if len(stamps) > _STAMPS_IN_A_LINE:
                stamps[2:-1] = ["…"]
            yield (
                f"{escaped(Path(clip.source).name)}: {len(set(plan.indices))} of {footage.n_frames} frames "
                f"({footage.duration_s:.1f} s at {footage.fps:g} fps) at {', '.join(stamps)} s, "
                f"{plan.width}×{plan.height} px, {plan.n_tokens(self._limits.factor)} tokens"
            )
            if ways:
                yield f"  fits with {' or '.join(ways)}"

    def _ways(self, cost: Cost) -> list[list[str]]:
        """Give for each clip the options with which all of them fit, the best first; none if they do.

        Each gives up the same share of what it takes.

        Raises:
            ContextFullError: Not even one frame fits.
        """
        if cost.remaining >= 1:
            return [[] for _ in self.clips]
        taken = [n_prompt_tokens(clip.plan, self._limits) for clip in self.clips]
        over = min(self._n_answer, cost.context // 4) - cost.remaining
        left = max(0.0, 1 - over / sum(taken)) if taken else 0.0
        return [self._of_one(clip, int(left * n)) for clip, n in zip(self.clips, taken, strict=True)]

    def _of_one(self, clip: Clip, n_tokens: int) -> list[str]:
        options = plans_that_fit(clip.footage, self._limits, clip.options, n_tokens)
        return [option_text(clip.options, option) for option in options]

    def _ways_or_none(self, cost: Cost) -> list[list[str]]:
        try:
            return self._ways(cost)
        except ContextFullError:
            return [[] for _ in self.clips]
