"""What came out, as Markdown."""

from collections.abc import Iterable, Sequence
from math import exp, log

import numpy as np

from qwen3vl_edge.quant.comparison.material import KINDS, Kind
from tools.bench.quality.candidates import NO_MATRIX, Family
from tools.bench.quality.measured import Result
from tools.bench.quality.paired import mean, ratio

__all__ = ["loss_tables", "ratio_table", "score_table"]

_Choice = tuple[str, bool]  # matrix, ordered
_COARSE = ("IQ2", "Q2", "IQ3", "Q3")


def loss_tables(results: Sequence[Result], family: Family) -> Iterable[str]:
    """Give a table for each kind of prompt: mean KL by type (rows) and by matrix, stock and ordered."""
    of = [result for result in results if result.candidate.family == family]
    choices = _choices(of)
    for kind in KINDS:
        if family == "projector" and kind == "text":
            continue
        yield f"\n{family}, KL on {kind}"
        yield _row(["type", "MB", *(f"{name}{' ordered' if ordered else ''}" for name, ordered in choices)])
        yield _row(["---"] * (len(choices) + 2))
        for wanted in dict.fromkeys(result.candidate.kind for result in of):
            yield _row([wanted, *_losses(of, wanted, choices, kind)])


def ratio_table(results: Sequence[Result], family: Family) -> Iterable[str]:
    """Give how many times another's loss each choice's is: geometric means over the types, 95 % intervals."""
    of = [result for result in results if result.candidate.family == family]
    yield f"\n{family}: loss as a multiple of another's"
    yield _row(["", "bits", *KINDS])
    yield _row(["---"] * (len(KINDS) + 2))
    for one, other in _pairs(_choices(of)):
        for bits, coarse in (("2, 3", True), ("4, 5", False)):
            both = _matched(of, one, other, coarse=coarse)
            if both:
                yield _row(
                    [f"{_named(one)} / {_named(other)}", bits, *(_ratio(both, kind) for kind in KINDS)]
                )


def score_table(scores: dict[str, dict[str, float]]) -> Iterable[str]:
    """Give the score of each task (columns) by candidate."""
    tasks = list(next(iter(scores.values())))
    yield "\nright answers by task; of boxes the mean IoU"
    yield _row(["", *tasks])
    yield _row(["---"] * (len(tasks) + 1))
    for name, of in scores.items():
        yield _row([name, *(f"{of[task]:.3f}" for task in tasks)])


def _choices(results: Sequence[Result]) -> list[_Choice]:
    found = dict.fromkeys((each.candidate.matrix, each.candidate.ordered) for each in results)
    return sorted(found, key=lambda choice: choice[1])


def _pairs(choices: Sequence[_Choice]) -> list[tuple[_Choice, _Choice]]:
    """Pair each choice with what it should beat: a matrix with less of one, an order with stock."""
    stock = [choice for choice in choices if not choice[1]]
    pairs = [(one, other) for i, one in enumerate(stock) for other in stock[:i]]
    orders = [choice for choice in choices if choice[1]]
    pairs += [(order, (order[0], False)) for order in orders]
    return pairs + [(order, (NO_MATRIX, True)) for order in orders if order[0] != NO_MATRIX]


def _matched(
    results: Sequence[Result], one: _Choice, other: _Choice, *, coarse: bool
) -> tuple[list[Result], list[Result]] | None:
    """Give the results of two choices, replica by replica and type by type, where there are both."""
    sides: list[dict[tuple[int, str], Result]] = [{}, {}]
    for result in results:
        of = result.candidate
        for side, choice in zip(sides, (one, other), strict=True):
            if (of.matrix, of.ordered) == choice and of.kind.startswith(_COARSE) == coarse:
                side[of.replica, of.kind] = result
    keys = [key for key in sides[0] if key in sides[1]]
    return ([sides[0][key] for key in keys], [sides[1][key] for key in keys]) if keys else None


def _ratio(both: tuple[list[Result], list[Result]], kind: Kind) -> str:
    if both[0][0].candidate.family == "projector" and kind == "text":
        return ""
    one, other = ([result.sums for result in side] for side in both)
    found = ratio(one, other, kind)
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _losses(results: Sequence[Result], wanted: str, choices: Sequence[_Choice], kind: Kind) -> list[str]:
    """Give the size and the losses, geometric means over the replicas."""
    of: dict[_Choice, list[Result]] = {}
    for each in results:
        if each.candidate.kind == wanted:
            of.setdefault((each.candidate.matrix, each.candidate.ordered), []).append(each)
    size = np.mean([each.candidate.pair.size_bytes for found in of.values() for each in found])
    told = [
        f"{exp(np.mean([log(mean(each.sums, kind)) for each in of[choice]])):.2g}" if choice in of else ""
        for choice in choices
    ]
    return [f"{size / 1e6:.2f}", *told]


def _named(choice: _Choice) -> str:
    return f"{choice[0]}, ordered" if choice[1] else choice[0]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
