"""A model card in Markdown: what was measured, how, and what came of it."""

from collections.abc import Iterator

from qwen3vl_edge.quant.comparison.losses import Loss, Losses
from qwen3vl_edge.quant.comparison.material import KINDS
from qwen3vl_edge.quant.comparison.report import CandidateReport, Comparison, MaterialFacts, PairFacts
from qwen3vl_edge.quant.comparison.statistics import Interval

__all__ = ["model_card"]

_MIB = 1 << 20
_NAMES = {"text": "text", "picture": "pictures", "clip": "clips"}
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"})


def model_card(comparison: Comparison, command: str) -> str:
    """Write the card.

    Args:
        comparison: What was found.
        command: That made it, as it was typed.
    """
    return "\n".join(_lines(comparison, command)) + "\n"


def _lines(found: Comparison, command: str) -> Iterator[str]:
    yield f"# What quantization costs: {_plain(found.reference.name)}"
    yield ""
    yield (
        f"{len(found.candidates)} quantized "
        f"{'pair' if len(found.candidates) == 1 else 'pairs'} of language model and projector, held against "
        f"{_plain(found.reference.name)} ({_plain(found.reference.model.type)} language model, "
        f"{_plain(found.reference.projector.type)} projector, {_mib(found.reference)})."
    )
    yield ""
    yield from _table(found)
    yield ""
    yield from _halves(found)
    yield "## In detail"
    yield ""
    for candidate in found.candidates:
        yield from _detail(candidate)
    yield from _method(found.material, found.kept_bytes)
    if found.left_out:
        yield f"Left out, as damaged or too large for the context: {len(found.left_out)} pictures or clips."
        yield ""
    yield from _provenance(found, command)


def _table(found: Comparison) -> Iterator[str]:
    kinds = [kind for kind in KINDS if found.candidates[0].losses.both.of(kind)]
    heads = ["pair", "types", "size", "bits a weight", *(f"KL, {_NAMES[kind]}" for kind in kinds)]
    heads += ["answers changed", "short answers flipped"]
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for each in found.candidates:
        losses = each.losses.both
        types = f"{each.pair.model.type} + {each.pair.projector.type}"
        cells = [_plain(each.pair.name), _plain(types), _mib(each.pair), f"{each.pair.bpw:.2f}"]
        cells += [_kl(loss.kl) if (loss := losses.of(kind)) else "" for kind in kinds]
        cells += [_share(losses.flips.changed), _share(losses.flips.flipped)]
        yield _row(cells)


def _halves(found: Comparison) -> Iterator[str]:
    yield "## Which half costs what"
    yield ""
    yield "Mean KL divergence with only one file of the pair in the place of the reference's."
    yield ""
    yield _row(["pair", "half", "text", "pictures", "clips"])
    yield _row(["---"] * 5)
    for each in found.candidates:
        for name, losses in (("language model", each.losses.model), ("projector", each.losses.projector)):
            if losses is None:
                yield _row([_plain(each.pair.name), name, *["the reference's own file"] * 3])
                continue
            cells = [_kl(loss.kl) if (loss := losses.of(kind)) else "not involved" for kind in KINDS]
            yield _row([_plain(each.pair.name), name, *cells])
    yield ""


def _detail(candidate: CandidateReport) -> Iterator[str]:
    yield f"### {_plain(candidate.pair.name)}"
    yield ""
    heads = ["", "prompts", "tokens", "KL mean", "median", "99 %", "max", "same top token"]
    yield _row([*heads, "perplexity", "reference's"])
    yield _row(["---"] * 10)
    for name, loss in _kinds(candidate.losses.both):
        yield _row([name, *_figures(loss)])
    yield ""
    if speed := candidate.pair.speed:
        yield (
            f"Speed where it was measured: {speed.prefill:.0f} tokens/s read, {speed.decode:.1f} written, "
            f"{speed.encode_s:.2f} s for a picture of 384 × 384 px."
        )
        yield ""
    for remark in candidate.remarks:
        yield f"Remark: {_plain(remark)}."
        yield ""
    if examples := candidate.losses.both.flips.examples:
        yield "Answers that flipped:"
        yield ""
        for flip in examples:
            said = f"{_plain(flip.reference)} became {_plain(flip.candidate)}"
            yield f"* {_plain(flip.question)} ({_plain(flip.sight)}): {said}"
        yield ""


def _figures(loss: Loss) -> list[str]:
    shares = [f"{value:.2g}" for value in (loss.kl_median, loss.kl_99, loss.kl_max)]
    perplexities = [f"{loss.perplexity:.4g}", f"{loss.reference_perplexity:.4g}"]
    counts = [str(loss.n_prompts), str(loss.n_tokens)]
    return [*counts, _kl(loss.kl), *shares, f"{100 * loss.same_top:.2f} %", *perplexities]


def _method(material: MaterialFacts, kept_bytes: int) -> Iterator[str]:
    own = (
        "This package's own drawn pictures, clips and prose" if material.drawn else "The user's own material"
    )
    yield "## How it was measured"
    yield ""
    yield (
        f"{own}: {material.n_picture_prompts} questions about {material.n_pictures} pictures, "
        f"{material.n_clip_prompts} about {material.n_clips} clips, {material.n_chunks} chunks of "
        f"{material.chunk_tokens} tokens of text{f' ({_plain(material.text)})' if material.text else ''}."
    )
    yield ""
    yield (
        f"The reference answers each question greedily, in {material.answer_tokens} tokens at most; every "
        "candidate reads those answers, so that all are measured at the same tokens. KL divergence is "
        "KL(reference‖candidate) in nats a token. Intervals are of 95 %: of means by a bootstrap over "
        "pictures, clips and chunks, of shares by Wilson's score. Text is read as llama-perplexity reads it. "
        "Of the reference's "
        f"distributions {kept_bytes / _MIB:.1f} MiB are kept: the likeliest tokens, and a sample of the rest "
        "from which that rest's share is estimated."
    )
    yield ""


def _provenance(found: Comparison, command: str) -> Iterator[str]:
    yield "Command:"
    yield ""
    yield from (f"    {line}" for line in command.splitlines())
    yield ""
    yield f"Date: {found.created}. Versions: {', '.join(f'{k} {v}' for k, v in found.versions.items())}."
    yield ""
    yield "## Files"
    yield ""
    yield _row(["pair", "file", "bytes", "made from", "recipe", "identity"])
    yield _row(["---"] * 6)
    yield from _files("reference", found.reference)
    for each in found.candidates:
        yield from _files(each.pair.name, each.pair)


def _files(name: str, pair: PairFacts) -> Iterator[str]:
    for file in (pair.model, pair.projector):
        origin = _plain(file.source or "not known"), _plain(file.recipe or "not known")
        yield _row((_plain(name), _plain(file.name), str(file.size_bytes), *origin, file.identity[:16]))


def _kinds(losses: Losses) -> list[tuple[str, Loss]]:
    return [(_NAMES[kind], loss) for kind in KINDS if (loss := losses.of(kind))]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _kl(found: Interval) -> str:
    if found.high == float("inf"):
        return f"{found.value:.3g}"
    return f"{found.value:.3g} ({max(found.low, 0):.2g} to {found.high:.2g})"


def _share(found: Interval | None) -> str:
    if found is None:
        return "none asked"
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _mib(pair: PairFacts) -> str:
    return f"{pair.size_bytes / _MIB:.1f} MiB"


def _plain(text: str) -> str:
    """Give text of a file's as it may stand in Markdown: on one line, and meaning nothing there."""
    return " ".join(text.split()).translate(_MARKS)
