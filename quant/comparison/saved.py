"""Comparisons that `compare --json` has printed, read again."""

from pathlib import Path

from qwen3vl_edge.errors import UsageError, join_problems
from qwen3vl_edge.json_fields import Fields, read_object
from qwen3vl_edge.quant.comparison.losses import Flip, Flips, Loss, Losses
from qwen3vl_edge.quant.comparison.report import (
    FORMAT_VERSION,
    CandidateReport,
    Comparison,
    FileFacts,
    Halves,
    MaterialFacts,
    PairFacts,
)
from qwen3vl_edge.quant.comparison.statistics import Interval
from qwen3vl_edge.runtime.speed import Speed

__all__ = ["read_comparison"]

_LIMIT_BYTES = 64 << 20
_ENDLESS = 1e300


def read_comparison(path: Path) -> Comparison:
    """Read what ``compare --json`` has printed.

    Raises:
        UsageError: It is no such file, or of another version.
    """
    fields = Fields(read_object(path, _LIMIT_BYTES, UsageError), str(path))
    version = fields.integer("format_version")
    if version != FORMAT_VERSION:
        raise UsageError(f"{path}: comparison of format {version}, {FORMAT_VERSION} is known; compare again")
    found = Comparison(
        _pair(fields.section("reference")),
        tuple(_candidate(each) for each in fields.sections("candidates")),
        _material(fields.section("material")),
        {},
        fields.text("created"),
        fields.integer("kept_bytes", least=0),
    )
    if fields.problems:
        raise UsageError(join_problems(fields.problems))
    return found


def _candidate(fields: Fields) -> CandidateReport:
    losses = fields.section("losses")
    halves = Halves(
        _losses(losses.section("both")),
        *(_losses(losses.section(half)) if losses.has(half) else None for half in ("model", "projector")),
    )
    return CandidateReport(_pair(fields.section("pair")), halves, ())


def _pair(fields: Fields) -> PairFacts:
    speed = fields.section("speed") if fields.has("speed") else None
    return PairFacts(
        fields.text("name"),
        _file(fields.section("model")),
        _file(fields.section("projector")),
        fields.integer("size_bytes"),
        fields.number("bpw"),
        Speed(*(speed.number(name) for name in ("prefill", "decode", "encode_s"))) if speed else None,
    )


def _file(fields: Fields) -> FileFacts:
    return FileFacts(
        fields.text("name"),
        fields.text("type"),
        fields.integer("size_bytes"),
        fields.text("identity"),
        fields.text("source") if fields.has("source") else None,
        fields.text("recipe") if fields.has("recipe") else None,
    )


def _losses(fields: Fields) -> Losses:
    text, picture, clip = (
        _loss(fields.section(kind)) if fields.has(kind) else None for kind in ("text", "picture", "clip")
    )
    if text is picture is clip is None:
        fields.fault("text", "is missing, and so are picture and clip")
    return Losses(text, picture, clip, _flips(fields.section("flips")))


def _loss(fields: Fields) -> Loss:
    return Loss(
        fields.integer("n_prompts"),
        fields.integer("n_tokens"),
        _interval(fields.section("kl"), least=-_ENDLESS),
        *(fields.number(name, least=-_ENDLESS) for name in ("kl_median", "kl_99", "kl_max", "tail_error")),
        *(fields.number(name, most=_ENDLESS) for name in ("same_top", "perplexity", "reference_perplexity")),
    )


def _flips(fields: Fields) -> Flips:
    changed, flipped = (
        _interval(fields.section(name)) if fields.has(name) else None for name in ("changed", "flipped")
    )
    return Flips(
        fields.integer("n_answers", least=0),
        fields.integer("n_changed", least=0),
        changed,
        fields.integer("n_short", least=0),
        fields.integer("n_flipped", least=0),
        flipped,
        tuple(
            Flip(*(each.text(name) for name in ("sight", "question", "reference", "candidate")))
            for each in fields.sections("examples")
        ),
    )


def _interval(fields: Fields, least: float = 0.0) -> Interval:
    return Interval(
        fields.number("value", least=least, most=_ENDLESS),
        fields.number("low", -float("inf"), least=least, most=_ENDLESS),
        fields.number("high", float("inf"), least=least, most=_ENDLESS),
    )


def _material(fields: Fields) -> MaterialFacts:
    counts = ("n_pictures", "n_picture_prompts", "n_clips", "n_clip_prompts", "n_chunks")
    n_pictures, n_picture_prompts, n_clips, n_clip_prompts, n_chunks = (
        fields.integer(name, least=0) for name in counts
    )
    return MaterialFacts(
        n_pictures,
        n_picture_prompts,
        n_clips,
        n_clip_prompts,
        n_chunks,
        fields.integer("chunk_tokens"),
        fields.integer("answer_tokens"),
        fields.text("text") if fields.has("text") else None,
        fields.flag("drawn"),
    )
