"""How a clip that is too long for the context can be shown all the same."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from qwen3vl_edge.clips import ClipOptions, ClipPlan, Footage, plan_clip
from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.limits import VideoLimits

__all__ = ["n_prompt_tokens", "option_text", "plan_that_fits", "plans_that_fit"]

_STAMP_TOKENS = 12
"""``<1234.5 seconds>``, digit by digit, and the two marks around a moment; short stamps take less."""
_LEAST_FRAME_TOKENS = 64
"""Below that little is to be made out; then rather fewer frames."""
_LEAST_RANGE_S = 2.0


def n_prompt_tokens(plan: ClipPlan, limits: VideoLimits) -> int:
    """Count what a clip takes of the context: its moments and, at most, their stamps."""
    return plan.n_tokens(limits.factor) + _STAMP_TOKENS * len(plan.stamps_s)


def plan_that_fits(footage: Footage, limits: VideoLimits, options: ClipOptions, n_tokens: int) -> ClipOptions:
    """Give the first of `plans_that_fit`.

    Raises:
        ContextFullError: Not even one frame of the smallest size fits.
    """
    return plans_that_fit(footage, limits, options, n_tokens)[0]


def plans_that_fit(
    footage: Footage, limits: VideoLimits, options: ClipOptions, n_tokens: int
) -> tuple[ClipOptions, ...]:
    """Give options like `options` with which the clip takes at most `n_tokens`, the best first.

    One has smaller frames, one fewer of them, one only the beginning; each as much as fits.

    Raises:
        ContextFullError: Not even one frame of the smallest size fits.
    """
    fitting = _Fitting(footage, limits, options, n_tokens)
    if fitting.fits(options):
        return (options,)
    found = tuple(chain(fitting.smaller(), fitting.fewer(), fitting.shorter()))
    if not found:
        raise ContextFullError(
            f"no frame of the clip fits in {n_tokens} tokens; ask for more with --ctx, or start anew"
        )
    return found


def option_text(before: ClipOptions, after: ClipOptions) -> str:
    """Name the option of the command line that makes `after` of `before`."""
    if after.max_frame_tokens != before.max_frame_tokens:
        return f"--frame-max-tokens {after.max_frame_tokens}"
    if after.n_frames != before.n_frames:
        instead = " in place of --fps" if before.fps is not None else ""
        return f"--frames {after.n_frames}{instead}"
    return f"--end {after.end_s:g}"


class _Fitting:
    """The search for options that make a clip small enough."""

    def __init__(self, footage: Footage, limits: VideoLimits, options: ClipOptions, n_tokens: int) -> None:
        self._footage, self._limits, self._options, self._n_tokens = footage, limits, options, n_tokens
        self._plan = plan_clip(footage, limits, options)

    def fits(self, options: ClipOptions) -> bool:
        plan = plan_clip(self._footage, self._limits, options)
        return n_prompt_tokens(plan, self._limits) <= self._n_tokens

    def smaller(self) -> Iterator[ClipOptions]:
        """The same frames, each at the most tokens that leave room for all."""
        cap = self._n_tokens // len(self._plan.stamps_s) - _STAMP_TOKENS
        while cap >= _LEAST_FRAME_TOKENS:
            option = replace(self._options, max_frame_tokens=cap)
            if self.fits(option):  # an odd number of frames may take more than the cap says
                yield option
                return
            cap -= max(1, cap // 32)

    def fewer(self) -> Iterator[ClipOptions]:
        """As many frames as fit, spread over the same time."""
        for count in range(len(self._plan.indices) - 1, 0, -1):
            option = replace(self._options, fps=None, n_frames=count)
            if self.fits(option):
                yield option
                return

    def shorter(self) -> Iterator[ClipOptions]:
        """As many as fit from the beginning on, as close as before; not where their number was asked for."""
        if self._options.n_frames is not None:
            return
        first = self._footage.start_s + self._plan.indices[0] / self._plan.fps
        for count in range(len(self._plan.stamps_s) - 1, 0, -1):
            end_s = int(self._plan.stamps_s[count] * 10) / 10
            option = replace(self._options, end_s=end_s)
            if end_s - first >= _LEAST_RANGE_S and self.fits(option):
                yield option
                return
