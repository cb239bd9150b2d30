"""The smallest candidate whose loss stays within bounds."""

from dataclasses import dataclass

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant.comparison.material import KINDS
from qwen3vl_edge.quant.comparison.report import CandidateReport, Comparison

__all__ = ["Advice", "Bounds", "Verdict", "advise"]

_NAMES = {"text": "text", "picture": "pictures", "clip": "clips"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a candidate may cost; None bounds nothing.

    ``max_kl`` holds for each kind of prompt that was measured, in nats a token, ``max_flips`` (a share) for
    short answers, ``max_bytes`` for both files together. With ``sure``, the upper ends of the 95 %
    intervals have to stay within them, not the estimates.

    Raises:
        UsageError: A number is out of range, nothing is bounded, or nothing that could be sure.
    """

    max_kl: float | None = None
    max_flips: float | None = None
    max_bytes: int | None = None
    sure: bool = False

    def __post_init__(self) -> None:
        if self.max_kl is None and self.max_flips is None and self.max_bytes is None:
            raise UsageError("nothing is bounded; give --max-kl, --max-flips or --max-size")
        if self.sure and not self.bounds_loss:
            raise UsageError("--sure is about losses, and none is bounded; give --max-kl or --max-flips")
        if self.max_kl is not None and not self.max_kl >= 0:  # nan, too
            raise UsageError(f"a KL divergence is never as small as {self.max_kl:g}; give 0 or more")
        if self.max_flips is not None and not 0 <= self.max_flips <= 1:
            raise UsageError(f"{100 * self.max_flips:g} % of answers cannot flip; give 0 to 100 %")

    @property
    def bounds_loss(self) -> bool:
        """Whether a loss is bounded, not size alone."""
        return self.max_kl is not None or self.max_flips is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a candidate is not the one; no reasons: it is."""

    name: str
    size_bytes: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """The candidate to take, None if none is within the bounds, and what is to be said of every one."""

    chosen: str | None
    verdicts: tuple[Verdict, ...]


def advise(comparison: Comparison, bounds: Bounds) -> Advice:
    """Choose the smallest candidate within `bounds`; of equally small ones the one that loses less.

    Where size alone is bounded, the smallest would be the worst: there the one that loses least is chosen, by
    the mean KL divergence on the kind of prompt on which it is largest.

    Raises:
        UsageError: Flips are bounded, and no short answers were measured.
    """
    excesses = {each.pair.name: _excesses(each, bounds) for each in comparison.candidates}
    within = [each for each in comparison.candidates if not excesses[each.pair.name]]
    best = min(within, key=lambda each: _rank(each, bounds), default=None)
    chosen = best.pair.name if best else None
    beaten = "no smaller" if bounds.bounds_loss else "no better"
    verdicts = []
    for each in sorted(comparison.candidates, key=lambda each: each.pair.size_bytes):
        name, reasons = each.pair.name, excesses[each.pair.name]
        if not reasons and name != chosen:
            reasons = (f"within the bounds, but {beaten} than {chosen}",)
        verdicts.append(Verdict(name, each.pair.size_bytes, reasons))
    return Advice(chosen, tuple(verdicts))


def _rank(candidate: CandidateReport, bounds: Bounds) -> tuple[float, float]:
    size, loss = float(candidate.pair.size_bytes), candidate.losses.both.worst_kl
    return (size, loss) if bounds.bounds_loss else (loss, size)


def _excesses(candidate: CandidateReport, bounds: Bounds) -> tuple[str, ...]:
    losses, found = candidate.losses.both, []
    for kind in KINDS:
        loss = losses.of(kind)
        if loss is None or bounds.max_kl is None:
            continue
        value = loss.kl.high if bounds.sure else loss.kl.value
        if value > bounds.max_kl:
            might = " may be" if bounds.sure else ""
            found.append(f"KL on {_NAMES[kind]}{might} {value:.3g}, above {bounds.max_kl:g}")
    if bounds.max_flips is not None:
        flipped = losses.flips.flipped
        if flipped is None:
            raise UsageError("--max-flips: no short answers were measured; ask questions about pictures")
        share = flipped.high if bounds.sure else flipped.value
        if share > bounds.max_flips:
            might = " may" if bounds.sure else ""
            found.append(
                f"{100 * share:.2g} % of short answers{might} flip, above {100 * bounds.max_flips:g} %"
            )
    if bounds.max_bytes is not None and candidate.pair.size_bytes > bounds.max_bytes:
        found.append(f"{candidate.pair.size_bytes} bytes, above {bounds.max_bytes}")
    return tuple(found)
