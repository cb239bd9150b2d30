"""How clips that are too long for the context can be shown all the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from qwen3vl_edge.clips import LEAST_FPS, ClipOptions, ClipPlan, Footage, plan_clip
from qwen3vl_edge.errors import ContextFullError, UsageError
from qwen3vl_edge.limits import VideoLimits

__all__ = ["LEAST_FRAME_TOKENS", "common_plans", "n_prompt_tokens", "option_text", "plan_that_fits"]

LEAST_FRAME_TOKENS = 64
"""Below that little is to be made out; then rather fewer frames."""
_LEAST_RANGE_S = 2.0
_STEP = 16  # one in so many less with each try
_AROUND_A_STAMP = 5  # "<", " seconds", ">" and the two marks around a moment


def n_prompt_tokens(plan: ClipPlan, limits: VideoLimits) -> int:
    """Count what a clip takes of the context: its moments and their stamps.

    Qwen's tokenizer has a token for each digit and one for the point (``tokenizer.json``:
    ``pre_tokenizer`` splits at every digit).
    """
    stamps = sum(len(f"{stamp:.1f}") + _AROUND_A_STAMP for stamp in plan.stamps_s)
    return plan.n_tokens(limits.factor) + stamps


def plan_that_fits(footage: Footage, limits: VideoLimits, options: ClipOptions, n_tokens: int) -> ClipOptions:
    """Give the first of `common_plans` for one clip.

    Raises:
        ContextFullError: Not even one frame of the smallest size fits.
    """
    return common_plans((footage,), limits, options, n_tokens)[0]


def common_plans(
    clips: Sequence[Footage], limits: VideoLimits, options: ClipOptions, n_tokens: int
) -> tuple[ClipOptions, ...]:
    """Give options like `options` with which all `clips` together take at most `n_tokens`, the best first.

    Each has one thing changed, as much as it must: smaller frames, less for each clip, fewer frames, fewer a
    second, or, of a single clip or where nothing else helps, only the beginning.

    Raises:
        ContextFullError: Not even one frame of each fits.
        UsageError: `options` leave nothing to show of one of them.
    """
    fitting = _Fitting(clips, limits, options, n_tokens)
    if fitting.fits(options):
        return (options,)
    of_one = (fitting.smaller, fitting.fewer, fitting.shorter)
    of_several = (fitting.smaller, fitting.bounded, fitting.fewer, fitting.slower)
    found = tuple(option for way in (of_one if len(clips) == 1 else of_several) for option in way())
    found = found or tuple(fitting.shorter()) or tuple(fitting.smaller(least=1))
    if not found:
        what = "no frame of the clip fits" if len(clips) == 1 else "the clips do not fit with a frame of each"
        if options.fps is not None and any(footage.is_untimed for footage in clips):
            what = f"at --fps {options.fps:g}, which pictures without times need, no plan fits"
        raise ContextFullError(
            f"{what} in the {max(n_tokens, 0)} tokens that are left for it; ask for more with --ctx, "
            "or start anew"
        )
    return found


def option_text(before: ClipOptions, after: ClipOptions) -> str:
    """Name the option of the command line that makes `after` of `before`."""
    if after.max_frame_tokens != before.max_frame_tokens:
        return f"--frame-max-tokens {after.max_frame_tokens}"
    if after.max_tokens != before.max_tokens:
        return f"--video-max-tokens {after.max_tokens}"
    if after.n_frames != before.n_frames:
        instead = " in place of --fps" if before.fps is not None else ""
        return f"--frames {after.n_frames}{instead}"
    if after.fps != before.fps:
        return f"--fps {after.fps:g}"
    return f"--end {after.end_s:g}"


class _Fitting:
    """The search for options that make clips small enough."""

    def __init__(
        self, clips: Sequence[Footage], limits: VideoLimits, options: ClipOptions, n_tokens: int
    ) -> None:
        self._clips, self._limits, self._options, self._n_tokens = clips, limits, options, n_tokens

    def fits(self, options: ClipOptions) -> bool:
        try:
            plans = [plan_clip(footage, self._limits, options) for footage in self._clips]
        except UsageError:  # the options leave nothing to show of one of them
            return False
        return sum(n_prompt_tokens(plan, self._limits) for plan in plans) <= self._n_tokens

    @cached_property
    def _plans(self) -> list[ClipPlan]:
        return [plan_clip(footage, self._limits, self._options) for footage in self._clips]

    def smaller(self, least: int = LEAST_FRAME_TOKENS) -> Iterator[ClipOptions]:
        """The same frames, each at the most tokens that leave room for all."""
        most = max(map(self._of_a_frame, self._plans))
        return self._largest(range(least, most), lambda cap: replace(self._options, max_frame_tokens=cap))

    def bounded(self) -> Iterator[ClipOptions]:
        """The same frames, those of long clips smaller; not where little would be made out of them."""
        most = max(plan.n_tokens(self._limits.factor) for plan in self._plans)
        caps = range(LEAST_FRAME_TOKENS, most)
        found = self._largest(caps, lambda cap: replace(self._options, max_tokens=cap))
        return filter(self._can_be_made_out, found)

    def fewer(self) -> Iterator[ClipOptions]:
        """As many frames of each as fit, spread over the same time."""
        if self._options.fps is not None and any(footage.is_untimed for footage in self._clips):
            return iter(())  # --fps says when their pictures were taken, and cannot be left out
        counts = range(1, max(plan.n_frames for plan in self._plans))
        return self._largest(counts, lambda count: replace(self._options, fps=None, n_frames=count))

    def slower(self) -> Iterator[ClipOptions]:
        """As many frames of a second as fit: of long clips more than of short ones."""
        if self._options.n_frames is not None or any(footage.is_untimed for footage in self._clips):
            return iter(())
        longest = max(self._plans, key=lambda plan: len(plan.indices))
        seconds = (longest.indices[-1] - longest.indices[0] + 1) / longest.fps
        counts = range(1, len(longest.indices))
        return self._largest(counts, lambda n: replace(self._options, fps=_rate(n / seconds)))

    def shorter(self) -> Iterator[ClipOptions]:
        """As many as fit from the beginning on, as close as before; not where their number was asked for."""
        plans = zip(self._clips, self._plans, strict=True)
        footage, plan = max(plans, key=lambda both: both[1].stamps_s[-1] - both[1].stamps_s[0])
        first = footage.start_s + plan.indices[0] / plan.fps
        ends = [int(stamp * 10) / 10 for stamp in plan.stamps_s]
        long_enough = [number for number, end in enumerate(ends) if end - first >= _LEAST_RANGE_S]
        if self._options.n_frames is not None or not long_enough:
            return iter(())
        numbers = range(long_enough[0], len(ends))
        return self._largest(numbers, lambda number: replace(self._options, end_s=ends[number]))

    def _largest(self, numbers: range, make: Callable[[int], ClipOptions]) -> Iterator[ClipOptions]:
        """Give what is made of the largest of `numbers` that fits, if one does.

        They are tried in steps, and then between the last two: what clips take does not always fall with
        the number, for sizes come in steps.
        """
        above = numbers.stop
        while above > numbers.start:
            number = max(numbers.start, above - max(1, above // _STEP))
            if self.fits(make(number)):
                between = (make(higher) for higher in range(above - 1, number, -1))
                yield next(filter(self.fits, between), make(number))
                return
            above = number

    def _can_be_made_out(self, options: ClipOptions) -> bool:
        """Whether no frame is much smaller than it is now, or else large enough."""
        plans = [plan_clip(footage, self._limits, options) for footage in self._clips]
        return all(
            self._of_a_frame(now) >= min(self._of_a_frame(before), LEAST_FRAME_TOKENS * 3 // 4)
            for now, before in zip(plans, self._plans, strict=True)
        )

    def _of_a_frame(self, plan: ClipPlan) -> int:
        return plan.n_tokens(self._limits.factor) // len(plan.stamps_s)


def _rate(fps: float) -> float:
    """Give a rate that can be typed, within what `ClipOptions` takes."""
    return max(float(f"{fps:.3g}"), LEAST_FPS)
