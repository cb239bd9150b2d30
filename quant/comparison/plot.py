"""A picture of a comparison: size against KL divergence, one point a candidate."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant.comparison.losses import Losses
from qwen3vl_edge.quant.comparison.material import KINDS, Kind
from qwen3vl_edge.quant.comparison.report import CandidateReport, Comparison
from qwen3vl_edge.quant.comparison.store import check_target, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_plot", "draw"]

_PLOT_SUFFIXES = (".png", ".svg")

_SERIES: tuple[tuple[Kind, str, str], ...] = (
    ("picture", "answers under a picture", "o"),
    ("clip", "answers under a clip", "s"),
    ("text", "text", "^"),
)
_MIB = 1 << 20
_MOST_LETTERS = 40  # of a name: a longer one would leave no room for the points
_CLOSE = 0.1
_BELOW = 3.0  # where a KL of zero is drawn: so many times below the least other


def check_plot(path: Path) -> None:
    """Check, before the work, that a picture can be drawn to `path`.

    Raises:
        UsageError: Its name does not end in .png or .svg, it cannot stand there, or matplotlib is missing.
    """
    if path.suffix.lower() not in _PLOT_SUFFIXES:
        raise UsageError(f"{path}: pictures are drawn as PNG or SVG; end the name in .png or .svg")
    check_target(path)
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 -- an extra
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed; pip install 'qwen3vl-edge[plots]'"
        ) from error


def draw(comparison: Comparison, path: Path) -> None:
    """Draw each candidate's size against its loss, on a logarithmic axis, a series for each kind of prompt.

    The names stand at the points of the first series; bars are 95 % intervals. A divergence of zero, which
    such an axis does not have, is drawn below the others and marked so.

    Raises:
        UsageError: As for `check_plot`.
        OSError: The file cannot be written.
    """
    check_plot(path)
    import matplotlib as mpl  # noqa: PLC0415 -- an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    kind = path.suffix.lower().removeprefix(".")
    data = io.BytesIO()
    # text stays text in SVG, and the same comparison gives the same file
    with mpl.rc_context({"svg.hashsalt": "qwen3vl-edge", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        _fill(figure.add_subplot(), comparison)
        figure.savefig(data, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    write_whole(path, data.getvalue())


def _fill(axes: "Axes", comparison: Comparison) -> None:
    floor = _floor(comparison)
    middle = sum(each.pair.size_bytes for each in comparison.candidates) / len(comparison.candidates) / _MIB
    labelled = False
    for kind, label, marker in _SERIES:
        found = [_point(candidate, kind, floor) for candidate in comparison.candidates]
        points = [point for point in found if point is not None]
        if not points:
            continue
        sizes, means, lows, highs, names = zip(*points, strict=True)
        axes.errorbar(sizes, means, yerr=(lows, highs), fmt=marker, capsize=3, label=label, linewidth=1)
        if not labelled:
            places = list(zip(sizes, means, strict=True))
            for number, (place, name) in enumerate(zip(places, names, strict=True)):
                n_below = sum(_is_close(place, earlier) for earlier in places[:number])
                _label(axes, place, name, leftwards=place[0] > middle, n_below=n_below)
        labelled = True
    axes.set_yscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("size of both files, MiB")
    axes.set_ylabel("KL divergence from the reference, nats a token")
    axes.set_title(f"loss against {comparison.reference.name}, 95 % intervals", parse_math=False)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()


def _is_close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Tell whether names beside these points, size and mean, would stand upon each other."""
    (size, mean), (other_size, other_mean) = one, other
    return abs(size - other_size) < _CLOSE * size and abs(math.log(mean / other_mean)) < _CLOSE


def _label(axes: "Axes", at: tuple[float, float], name: str, *, leftwards: bool, n_below: int) -> None:
    """Write a name beside a point, above `n_below` others, towards the middle; no markup in it is obeyed."""
    axes.annotate(
        name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…",
        at,
        xytext=(-8 if leftwards else 8, 4 + 13 * n_below),
        textcoords="offset points",
        horizontalalignment="right" if leftwards else "left",
        parse_math=False,
    )


def _point(
    candidate: CandidateReport, kind: Kind, floor: float
) -> tuple[float, float, float, float, str] | None:
    """Give size in MiB, mean, the lengths of its bar downwards and upwards, and the name."""
    loss = candidate.losses.both.of(kind)
    if loss is None:
        return None
    size, mean = candidate.pair.size_bytes / _MIB, loss.kl.value
    if mean <= 0:
        return size, floor, 0.0, 0.0, f"{candidate.pair.name} (0)"
    down = mean - max(loss.kl.low, floor) if loss.kl.low < mean else 0.0
    up = loss.kl.high - mean if loss.kl.high < float("inf") else 0.0
    return size, mean, max(down, 0.0), max(up, 0.0), candidate.pair.name


def _floor(comparison: Comparison) -> float:
    """Give the height at which zero is drawn."""
    means = [value for each in comparison.candidates for value in _means(each.losses.both)]
    return min((value for value in means if value > 0), default=1.0) / _BELOW


def _means(losses: Losses) -> list[float]:
    return [loss.kl.value for kind in KINDS if (loss := losses.of(kind))]
