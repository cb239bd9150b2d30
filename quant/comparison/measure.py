"""The work of a comparison: every prompt through the reference once, then through each candidate."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from qwen3vl_edge.errors import ContextFullError, EngineError, MediaError
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.quant.comparison.chunks import Chunks
from qwen3vl_edge.quant.comparison.distributions import Divergence, diverge, keep
from qwen3vl_edge.quant.comparison.material import Material
from qwen3vl_edge.quant.comparison.observations import Answered, Observed, Prompt
from qwen3vl_edge.quant.comparison.opened import Opened
from qwen3vl_edge.quant.comparison.pairs import Pair
from qwen3vl_edge.quant.comparison.store import Store, record_key
from qwen3vl_edge.runtime.build_identity import build_id
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.scoring import Logits, Scorer
from qwen3vl_edge.runtime.speed import Speed

__all__ = ["Measurer"]

_MORE_TOKENS = 16  # of a candidate's answer beyond the reference's short one


class Measurer:
    """Holds pairs against `reference`, keeping all that it finds in `store`; one model is open at a time.

    Args:
        reference: Its answers are what everybody is measured on.
        material: What is asked and read.
        store: Knows what was measured before, by this program or an earlier one.
        settings: How models are opened.
        progress: Told of each model's prompts.
    """

    def __init__(
        self,
        reference: Pair,
        material: Material,
        store: Store,
        settings: EngineSettings,
        progress: Progress = SILENT,
    ) -> None:
        self._reference, self._material, self._store = reference, material, store
        self._settings, self._progress = settings, progress
        self.left_out: list[str] = []
        """Why sights were left out: they could not be read, or do not fit the context."""
        self._chunks = Chunks(material, store, reference.model_id)
        self._conditions = build_id(), settings.kv_type, settings.flash_attention, repr(settings.placement)

    def answer(self) -> tuple[Prompt, ...]:
        """Have the reference answer what it has not answered yet; give all prompts that have an answer.

        A picture or clip that cannot be read or does not fit is left out; see ``left_out``.

        Raises:
            UsageError: The passage is too short.
            MediaError: None of the pictures and clips can be shown.
            EngineError: The model cannot be opened, or a chunk of text does not fit.
        """
        with Opened(self._reference, self._settings, self._progress) as opened:
            prompts = (
                *(Prompt(None, chunk) for chunk in range(self._chunks.count(opened))),
                *(Prompt(question) for question in self._material.questions),
            )
            missing = [prompt for prompt in prompts if self._store.get(self._key(prompt)) is None]
            if missing:
                opened.open()  # its own bar comes before that of the prompts
            with self._progress.task(f"{self._reference.name} answers", len(prompts), "prompts") as task:
                task.advance(len(prompts) - len(missing))
                lost = {prompt for prompt in missing if not self._try(prompt, opened, task)}
        if lost and len(lost) == len(self._material.questions):
            raise MediaError(f"no picture and no clip can be shown; the first fault: {self.left_out[0]}")
        return tuple(prompt for prompt in prompts if prompt not in lost)

    def observe(self, pair: Pair, prompts: Sequence[Prompt]) -> Iterator[tuple[Prompt, Answered, Observed]]:
        """Read the reference's answers with another pair, in the order of `prompts`.

        Raises:
            MediaError, EngineError: As for `answer`.
        """
        with Opened(pair, self._settings, self._progress) as opened:
            if any(self._store.get(self._key(prompt, pair)) is None for prompt in prompts):
                opened.open()
            with self._progress.task(pair.name, len(prompts), "prompts") as task:
                for prompt in prompts:
                    answered = self._known(prompt)
                    yield prompt, answered, self._observe(prompt, answered, pair, opened)
                    task.advance()

    def speed(self, pair: Pair) -> Speed:
        """Measure how fast a pair is, now and here."""
        with Opened(pair, self._settings, self._progress) as opened:
            return opened.scorer.measure_speed()

    def nbytes(self, prompts: Sequence[Prompt]) -> int:
        """Count what is kept of the reference's distributions at all prompts, in bytes."""
        return sum(self._known(prompt).distributions.nbytes for prompt in prompts)

    def _key(self, prompt: Prompt, pair: Pair | None = None) -> str:
        """Name the record of the reference's answer, or of what `pair` makes of it."""
        reference, material, question = self._reference, self._material, prompt.question
        facts: list[object] = [*self._conditions, reference.model_id, prompt.kind]
        if question is None:  # the projector has no part in it
            facts += [self._chunks.identity, material.chunk_tokens, prompt.chunk]
            return record_key(*facts, *([pair.model_id] if pair else []))
        facts += [reference.projector_id, question.sight.identity, question.text, question.given]
        facts.append(material.answer_tokens)
        return record_key(*facts, *([pair.model_id, pair.projector_id] if pair else []))

    def _known(self, prompt: Prompt) -> Answered:
        record = self._store.get(self._key(prompt))
        if record is None:
            raise self._store.lost()
        return Answered.of(record)

    def _try(self, prompt: Prompt, opened: Opened, task: Task) -> bool:
        """Have a prompt answered; tell whether its sight could be read, and fits the context."""
        try:
            self._answer(prompt, opened)
        except (MediaError, ContextFullError) as error:
            if prompt.question is None:
                raise
            name = prompt.question.sight.name
            fault = str(error) if isinstance(error, MediaError) else f"{name}: {error}"
            if fault not in self.left_out:
                self.left_out.append(fault)
            return False
        finally:
            task.advance()
        return True

    def _answer(self, prompt: Prompt, opened: Opened) -> None:
        key = self._key(prompt)
        scorer, seed = opened.scorer, int(key[:8], 16)
        if prompt.question is None:
            chunk = self._chunks.tokens(prompt.chunk)
            tokens = tuple(chunk[len(chunk) // 2 + 1 :])
            answered = Answered(
                tokens, "", False, keep(_finite(scorer.scored_text(chunk), self._reference), tokens, seed)
            )
        else:
            parts, given = opened.parts(prompt.question), prompt.question.given
            tokens = (
                scorer.answer(parts, self._material.answer_tokens)
                if given is None
                else tuple(scorer.tokenize(given)[: self._material.answer_tokens])
            )
            distributions = keep(_finite(scorer.scored(parts, tokens), self._reference), tokens, seed)
            answered = Answered(tokens, scorer.spell(tokens).strip(), given is None, distributions)
        self._store.put(key, answered.record())

    def _observe(self, prompt: Prompt, answered: Answered, pair: Pair, opened: Opened) -> Observed:
        key = self._key(prompt, pair)
        record = self._store.get(key)
        if record is not None:
            return Observed.of(record)
        scorer, kept = opened.scorer, answered.distributions
        if prompt.question is None:
            pieces = _finite(scorer.scored_text(self._chunks.tokens(prompt.chunk)), pair)
            observed = Observed(diverge(kept, pieces, answered.tokens), None)
        else:
            parts = opened.parts(prompt.question)
            pieces = _finite(scorer.scored(parts, answered.tokens), pair)
            divergence = diverge(kept, pieces, answered.tokens)
            own = _own_text(scorer, parts, answered, divergence) if answered.is_short else None
            observed = Observed(divergence, own)
        self._store.put(key, observed.record())
        return observed


def _finite(pieces: Iterable[Logits], pair: Pair) -> Iterator[Logits]:
    for piece in pieces:
        if not np.isfinite(piece).all():
            raise EngineError(
                f"{pair.bundle.model}: its logits are not finite; some weights are NaN, infinite or damaged"
            )
        yield piece


def _own_text(scorer: Scorer, parts: Sequence[Part], answered: Answered, divergence: Divergence) -> str:
    """Give a candidate's greedy answer: the reference's, up to where its own likeliest token is another."""
    differs = np.flatnonzero(divergence.top_ids != answered.distributions.top_ids)
    if not differs.size:
        return answered.text
    place = int(differs[0])
    tokens = (*answered.tokens[:place], int(divergence.top_ids[place]))
    if not scorer.ends_answer(tokens[-1]):
        tokens = scorer.answer(parts, len(answered.tokens) + _MORE_TOKENS, begun=tokens)
    return scorer.spell(tokens).strip()
