"""Comparisons and advice as tables."""

from collections.abc import Iterator

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Table

from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.quant.comparison.advice import Advice
from qwen3vl_edge.quant.comparison.losses import Loss, Losses
from qwen3vl_edge.quant.comparison.material import KINDS, Kind
from qwen3vl_edge.quant.comparison.report import Comparison
from qwen3vl_edge.quant.comparison.statistics import Interval

__all__ = ["show_advice", "show_comparison"]

_NAMES: dict[Kind, str] = {"text": "text", "picture": "pictures", "clip": "clips"}


def show_comparison(found: Comparison) -> None:
    """Print what each candidate has lost: in short, by halves, in detail.

    "From" and "to" are the 95 % interval of the mean.
    """
    console = Console()
    console.print(plain(_heading(found)))
    tables = [_short(found), _halves(found), _spread(found), _tokens(found), _answers(found), _speeds(found)]
    for table in tables:
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for line in _remarks(found):
        console.print(plain(line))


def show_advice(advice: Advice) -> None:
    """Print which candidate to take, and why no other one."""
    table = _table("candidate", "size", "")
    for verdict in advice.verdicts:
        reason = "; ".join(verdict.reasons) or "take this one"
        table.add_row(*map(plain, (verdict.name, in_bytes(verdict.size_bytes), reason)))
    Console().print(table)


def _table(first: str, *others: str) -> Table:
    """Give a table whose first column, names, is cut last."""
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=12)
    for head in others:
        table.add_column(head)
    return table


def _heading(found: Comparison) -> str:
    asked = found.material
    whose = "drawn" if asked.drawn else "given"
    return (
        f"against {found.reference.name} ({in_bytes(found.reference.size_bytes)}), on {whose} material: "
        f"{asked.n_picture_prompts} questions about {asked.n_pictures} pictures, "
        f"{asked.n_clip_prompts} about {asked.n_clips} clips, {asked.n_chunks} chunks of text"
    )


def _short(found: Comparison) -> Table:
    kinds = _kinds(found)
    asks = found.material.n_picture_prompts + found.material.n_clip_prompts > 0
    extra = ["changed", "flips"] if asks else []
    table = _table("mean KL", "size", "bpw", *(_NAMES[kind] for kind in kinds), *extra)
    for each in found.candidates:
        losses = each.losses.both
        cells = [each.pair.name, in_bytes(each.pair.size_bytes), f"{each.pair.bpw:.2f}"]
        cells += [_kl(losses, kind) for kind in kinds]
        if asks:
            cells += [_share(losses.flips.changed), _share(losses.flips.flipped)]
        table.add_row(*map(plain, cells))
    return table


def _halves(found: Comparison) -> Table:
    kinds = _kinds(found)
    table = _table("mean KL by half", "half", *(_NAMES[kind] for kind in kinds))
    for each in found.candidates:
        for name, losses in (("language model", each.losses.model), ("projector", each.losses.projector)):
            cells = (
                ["same file", *[""] * (len(kinds) - 1)]
                if losses is None
                else [_kl(losses, kind) for kind in kinds]
            )
            table.add_row(*map(plain, (each.pair.name, name, *cells)))
    return table


def _spread(found: Comparison) -> Table:
    table = _table("KL", "on", "mean", "from", "to", "median", "99 %", "max")
    for name, kind, loss in _losses(found):
        ends = (loss.kl.low, loss.kl.high) if loss.kl.high < float("inf") else ("", "")
        figures = (loss.kl.value, *ends, loss.kl_median, loss.kl_99, loss.kl_max)
        table.add_row(*map(plain, (name, kind, *map(_number, figures))))
    return table


def _tokens(found: Comparison) -> Table:
    table = _table("tokens", "on", "number", "same top", "perplexity", "reference's")
    for name, kind, loss in _losses(found):
        perplexities = f"{loss.perplexity:.4g}", f"{loss.reference_perplexity:.4g}"
        cells = (name, kind, str(loss.n_tokens), f"{100 * loss.same_top:.2f} %", *perplexities)
        table.add_row(*map(plain, cells))
    return table


def _losses(found: Comparison) -> Iterator[tuple[str, str, Loss]]:
    for each in found.candidates:
        for kind in KINDS:
            loss = each.losses.both.of(kind)
            if loss is not None:
                yield each.pair.name, _NAMES[kind], loss


def _answers(found: Comparison) -> Table:
    table = _table("answers", "changed", "95 %", "short ones flipped", "95 %")
    for each in found.candidates:
        flips = each.losses.both.flips
        if flips.changed is None:
            continue
        changed = f"{flips.n_changed} of {flips.n_answers}", _shares(flips.changed)
        flipped = (
            (f"{flips.n_flipped} of {flips.n_short}", _shares(flips.flipped)) if flips.flipped else ("", "")
        )
        table.add_row(*map(plain, (each.pair.name, *changed, *flipped)))
    return table


def _speeds(found: Comparison) -> Table:
    table = _table("speed", "read, tokens/s", "write, tokens/s", "s a picture")
    for pair in (found.reference, *(each.pair for each in found.candidates)):
        if pair.speed:
            figures = (f"{pair.speed.prefill:.0f}", f"{pair.speed.decode:.1f}", f"{pair.speed.encode_s:.2f}")
            table.add_row(*map(plain, (pair.name, *figures)))
    return table


def _remarks(found: Comparison) -> Iterator[str]:
    yield from (f"left out: {fault}" for fault in found.left_out)
    yield from (remark for each in found.candidates for remark in each.remarks)
    worst = max(loss.tail_error for _, _, loss in _losses(found))
    yield (
        f"KL in nats a token. Of the reference {in_bytes(found.kept_bytes)} are kept, which makes mean KL "
        f"uncertain by {worst:.1g} at most (standard error)."
    )


def _kinds(found: Comparison) -> list[Kind]:
    return [kind for kind in KINDS if any(each.losses.both.of(kind) for each in found.candidates)]


def _kl(losses: Losses, kind: Kind) -> str:
    loss = losses.of(kind)
    return _number(loss.kl.value) if loss else ""


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2g}"


def _share(found: Interval | None) -> str:
    return "" if found is None else f"{100 * found.value:.1f} %"


def _shares(found: Interval) -> str:
    return f"{100 * found.low:.1f}–{100 * found.high:.1f} %"
