"""What `caption` says of a run, as text."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.cli.plain_text import escaped

if TYPE_CHECKING:
    from qwen3vl_edge.captions.forecast import Forecast
    from qwen3vl_edge.captions.record import Record
    from qwen3vl_edge.captions.run_events import Summary
    from qwen3vl_edge.cli.caption_state import RunState

__all__ = [
    "caption_lines",
    "clock",
    "counts",
    "forecast_lines",
    "going_on",
    "print_forecast",
    "summary_lines",
]

_REASONS = {
    "done before": "captioned before with these options",
    "has a caption": "have a caption already (--mode overwrite, append, prepend or fill takes them)",
    "failed before": "failed before (--retry-failed takes them again)",
    "found twice": "found twice",
}


_DROPPED_FIRST = ("gone", "tokens", "skipped", "images", "left")


def clock(seconds: float) -> str:
    """Give a duration as ``0:42`` or ``13:05:42``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counts(state: "RunState", width: int | None = None) -> str:
    """Give how far a run is, how fast it is, and how long it will take.

    Args:
        state: Of the run.
        width: Characters that there is room for: what matters least is left out; None: any number.
    """
    figures = {
        "seen": f"{state.n_seen} of {state.total}" if state.total is not None else f"{state.n_seen} files",
        "images": _rate(state.images_per_second, "images/s"),
        "tokens": _rate(state.tokens_per_second, "tokens/s"),
        "left": "" if state.left_s is None else f"{clock(state.left_s)} left",
        "skipped": f"{state.n_skipped} skipped" if state.n_skipped else "",
        "failed": f"{state.n_failed} failed" if state.n_failed else "",
        "gone": f"{clock(state.elapsed_s)} gone",
    }
    for least in ("", *_DROPPED_FIRST):
        figures.pop(least, None)
        text = ", ".join(filter(None, figures.values()))
        if width is None or len(text) <= width:
            break
    return text


def _rate(per_second: float | None, unit: str) -> str:
    if per_second is None:
        return ""
    return f"{per_second:.2g} {unit}" if per_second < 10 else f"{per_second:.0f} {unit}"


def summary_lines(summary: "Summary", seconds: float, *, kept: bool) -> list[str]:
    """Say what a run has done, and why something was left; `kept` tells whether there is a journal."""
    written = summary.done + summary.restored
    pace = f", {_rate(summary.done / seconds, 'images/s')}" if summary.done and seconds >= 1 else ""
    lines = [f"{written} captioned in {clock(seconds)}{pace}"]
    if summary.restored:
        lines[0] += f" ({summary.restored} of them from the journal, without the model)"
    lines += [f"{count} skipped: {_REASONS[reason]}" for reason, count in summary.skipped.items() if count]
    lines += [f"{summary.failed} failed"] if summary.failed else []
    lines += [f"{summary.crashed} crashed the worker and are set aside"] if summary.crashed else []
    if kept and (summary.failed or summary.crashed):
        lines.append("--retry-failed takes them again")
    return lines


def going_on(summary: "Summary", *, kept: bool) -> str:
    """Say what of a run that was stopped is kept, and how to go on."""
    if not kept:
        return "stopped: nothing but what was printed is kept"
    return (
        f"stopped: {summary.done + summary.restored} captions are kept; the same command goes on from there"
    )


def caption_lines(record: "Record", *, escape: bool) -> list[str]:
    """Give a line for each caption of a file, blanks and line ends as one blank.

    Args:
        record: What came of the file, no error.
        escape: Spell control characters out: the lines go to a terminal.
    """
    several = len(record.captions) > 1
    lines = []
    for caption in record.captions:
        name = f" ({caption.name})" if several else ""
        line = f"{record.path}{name}: {' '.join(caption.text.split())}"
        lines.append(escaped(line) if escape else line)
    return lines


def forecast_lines(forecast: "Forecast") -> list[str]:
    """Say what a run would do."""
    clips = f" and {_number(forecast.clips, 'clip')}" if forecast.clips else ""
    lines = [f"{_number(forecast.pictures, 'picture')}{clips} would be captioned"]
    if forecast.restored:
        lines.append(f"{forecast.restored} would be written again from the journal, without the model")
    if forecast.refused:
        lines.append(f"{forecast.refused} would fail without the model being asked")
    lines += [f"{count} skipped: {_REASONS[reason]}" for reason, count in forecast.skipped.items()]
    if forecast.seconds is not None:
        lines.append(f"about {clock(forecast.seconds)}, at the pace of earlier runs")
    elif forecast.pictures or forecast.clips:
        lines.append("no earlier run with this model is known here, so how long it takes cannot be told")
    return lines


def print_forecast(forecast: "Forecast", *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        print_json(asdict(forecast) | {"skipped": dict(forecast.skipped)})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in forecast_lines(forecast)))


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
