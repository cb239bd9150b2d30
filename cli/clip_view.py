"""What is planned for clips, in lines and in JSON; and what to do where they do not fit."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from qwen3vl_edge.cli.plain_text import escaped
from qwen3vl_edge.clip_fitting import common_plans, n_prompt_tokens, option_text
from qwen3vl_edge.clips import Clip, ClipOptions
from qwen3vl_edge.errors import ContextFullError, UsageError
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
        options: What holds for all clips, and could be changed so that they fit.
    """

    def __init__(
        self, content: Sequence[Content], limits: VideoLimits, n_answer: int, options: ClipOptions
    ) -> None:
        self.clips = [item for item in content if isinstance(item, Clip)]
        self._limits, self._n_answer, self._options = limits, n_answer, options
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
            ContextFullError: Not even one frame of each fits.
        """
        what = escaped(Path(self.clips[0].source).name) if len(self.clips) == 1 else "the clips"
        return f"{what} with {' or '.join(map(typed, self._ways(cost))) or 'what is set now'}"

    def to_json(self, cost: Cost) -> list[dict[str, object]]:
        """Give the plan of each clip; ``fits_with`` names options where the question does not fit.

        Each of them, given once, holds for all clips.
        """
        ways = self._ways_or_none(cost)
        return [self._one_to_json(clip) | {"fits_with": ways} for clip in self.clips]

    def lines(self, cost: Cost) -> Iterator[str]:
        """Give the plan of each clip, in a line, and the options with which all of them fit."""
        yield from map(self._line, self.clips)
        if ways := self._ways_or_none(cost):
            yield f"  {'fits' if len(self.clips) == 1 else 'they fit'} with {' or '.join(ways)}"

    def _one_to_json(self, clip: Clip) -> dict[str, object]:
        return {
            "path": clip.source,
            "start_s": clip.footage.start_s,
            "duration_s": clip.footage.duration_s,
            "fps": clip.plan.fps,
            "frames": list(clip.plan.indices),
            "stamps_s": list(clip.plan.stamps_s),
            "width": clip.plan.width,
            "height": clip.plan.height,
            "tokens": clip.plan.n_tokens(self._limits.factor),
            "notes": list(clip.notes),
        }

    def _line(self, clip: Clip) -> str:
        plan, footage = clip.plan, clip.footage
        stamps = [f"{stamp:.1f}" for stamp in plan.stamps_s]
        if len(stamps) > _STAMPS_IN_A_LINE:
            stamps[2:-1] = ["…"]
        return (
            f"{escaped(Path(clip.source).name)}: {plan.n_frames} of {footage.n_frames} frames "
            f"({footage.duration_s:.1f} s at {footage.fps:g} fps) at {', '.join(stamps)} s, "
            f"{plan.width}×{plan.height} px, {plan.n_tokens(self._limits.factor)} tokens"
        )

    def _ways(self, cost: Cost) -> list[str]:
        """Give the options with any of which all clips fit, the best first; none if they do.

        An answer of the wanted length, or of a quarter of the context, then has room as well.

        Raises:
            ContextFullError: Not even one frame of each fits.
        """
        if cost.remaining >= 1 or not self.clips:
            return []
        taken = sum(n_prompt_tokens(clip.plan, self._limits) for clip in self.clips)
        left = taken - (min(self._n_answer, cost.context // 4) - cost.remaining)
        footages = [clip.footage for clip in self.clips]
        try:
            found = common_plans(footages, self._limits, self._options, left)
        except UsageError as error:
            raise ContextFullError(f"the clips do not fit, and with what is set now: {error}") from error
        return [option_text(self._options, option) for option in found if option != self._options]

    def _ways_or_none(self, cost: Cost) -> list[str]:
        try:
            return self._ways(cost)
        except ContextFullError:
            return []
