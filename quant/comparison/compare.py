"""The use case: a reference, candidates, material; what each candidate has lost."""

from collections.abc import Sequence
from datetime import UTC, datetime

from qwen3vl_edge.manifest import current_versions
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.comparison.losses import Losses, sum_up
from qwen3vl_edge.quant.comparison.material import Kind, Material
from qwen3vl_edge.quant.comparison.measure import Measurer
from qwen3vl_edge.quant.comparison.observations import Prompt
from qwen3vl_edge.quant.comparison.pairs import Half, Pair, check_comparable, unique_names
from qwen3vl_edge.quant.comparison.provenance import pair_facts
from qwen3vl_edge.quant.comparison.report import (
    CandidateReport,
    Comparison,
    Halves,
    MaterialFacts,
)
from qwen3vl_edge.quant.comparison.store import Store
from qwen3vl_edge.runtime.engine_settings import EngineSettings

__all__ = ["compare"]


def compare(  # noqa: PLR0913 -- two ends, material, and how
    reference: Pair,
    candidates: Sequence[Pair],
    material: Material,
    store: Store,
    settings: EngineSettings,
    *,
    speed: bool = False,
    progress: Progress = SILENT,
) -> Comparison:
    """Measure what each candidate has lost against `reference`.

    The reference answers each question once, greedily, and every candidate reads those answers, so that all
    are measured at the same tokens. Each candidate is measured as a whole and, where both of its files
    are other ones, with each of them beside the reference's other half.

    Args:
        reference: What is held to be right.
        candidates: At least one.
        material: What to ask and read.
        store: Knows what was measured before.
        settings: How models are opened.
        speed: Measure that, too.
        progress: Told of each model's prompts.

    Raises:
        UsageError: Two candidates have one name, or the text is too short.
        GGUFError: A candidate is another model.
        MediaError: A picture or clip cannot be read.
        EngineError: A model cannot be opened, or a prompt does not fit.
    """
    unique_names([candidate.name for candidate in candidates])
    remarks = [check_comparable(reference, candidate) for candidate in candidates]
    measurer = Measurer(reference, material, store, settings, progress)
    prompts = measurer.answer()
    reports = tuple(
        CandidateReport(
            pair_facts(candidate, measurer.speed(candidate) if speed else None),
            _halves(measurer, reference, candidate, prompts),
            remark,
        )
        for candidate, remark in zip(candidates, remarks, strict=True)
    )
    return Comparison(
        pair_facts(reference, measurer.speed(reference) if speed else None),
        reports,
        _material_facts(material, prompts),
        current_versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        measurer.nbytes(prompts),
        tuple(measurer.left_out),
    )


def _halves(measurer: Measurer, reference: Pair, candidate: Pair, prompts: Sequence[Prompt]) -> Halves:
    def losses(half: Half, asked: Sequence[Prompt]) -> Losses:
        pair = candidate if half == "both" else reference.with_half(candidate, half)
        return sum_up(measurer.observe(pair, asked))

    same_model = candidate.model_id == reference.model_id
    same_projector = candidate.projector_id == reference.projector_id
    both = losses("both", prompts)
    shown = [prompt for prompt in prompts if prompt.kind != "text"]  # a projector does not read text
    if same_model or same_projector:  # then the other half is the whole difference
        return Halves(both, None if same_model else both, None if same_projector else both)
    return Halves(both, losses("model", prompts), losses("projector", shown) if shown else None)


def _material_facts(material: Material, prompts: Sequence[Prompt]) -> MaterialFacts:
    def count(kind: Kind) -> int:
        return len({prompt.cluster for prompt in prompts if prompt.kind == kind})

    return MaterialFacts(
        n_pictures=count("picture"),
        n_picture_prompts=sum(prompt.kind == "picture" for prompt in prompts),
        n_clips=count("clip"),
        n_clip_prompts=sum(prompt.kind == "clip" for prompt in prompts),
        n_chunks=count("text"),
        chunk_tokens=material.chunk_tokens,
        answer_tokens=material.answer_tokens,
        text=material.passage.name if material.passage else None,
        drawn=material.drawn,
    )
