"""Chooses the next token, in the order of the reference."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.candidates import Candidates
from qwen3vl_edge.runtime.grammar import Grammar
from qwen3vl_edge.runtime.logit_bias import resolve_biases
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.sampling import Sampling

__all__ = ["Sampler"]

_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED, llama.h 0c1e57098: draw one
_KEEP = 1  # filters leave this many tokens at least
_GREEDY_BELOW = 1e-5  # below, logits would overflow; vLLM's _SAMPLING_EPS, vllm/v1/sample/sampler.py
_FIRST_TRIED, _GROWTH = 64, 16  # candidates tried against a grammar; so many times more if too few fit
_NEGLIGIBLE = 2.0**-24  # float32's resolution
_UNLIKELY = np.float32(1e9)  # taken from the logit of a token that is to come only if no other can


class Sampler:
    """Chooses the tokens of an answer, as `settings` say.

    Logit bias, repetition penalty, presence and frequency penalties; then what the grammar refuses is
    left out; then temperature, top-k, top-p and min-p: the order in which transformers 5.23 applies its
    logits processors (``GenerationMixin._get_logits_processor``). llama.cpp's own has the temperature
    last, on which top-p depends; and it asks the grammar last, about the token chosen without it, and
    begins again if that is refused (common/sampling.cpp, 0c1e57098), so that with top-k, top-p or min-p
    the odds are not those of the filters over what the grammar allows.

    A grammar takes its time with each token it is asked about, 50 ms for all of Qwen's, so the likeliest
    are tried first, until there are as many as the filters would keep of all, or the others together
    have odds below the resolution of float32.

    While ``may_end`` is False, a token that ends the answer comes only where the grammar has no other.

    Args:
        model: Whose vocabulary the tokens are of; must outlive the sampler.
        settings: What to do with the logits.
        prompt: The prompt's text tokens: the repetition penalty counts them too, as the reference's does.
        n_ctx: How many tokens the penalties look back over, at most.
        grammar: What the answer may be, in GBNF with a rule ``root``; holds from `begin_answer` on.

    Raises:
        UsageError: A token of the logit bias is none of the model's, or the grammar is wrong.
    """

    def __init__(
        self,
        model: TextModel,
        settings: Sampling,
        prompt: Iterable[int],
        n_ctx: int,
        grammar: str | None = None,
    ) -> None:
        self._llama = library().llama
        self._model = model
        self._everything = np.arange(model.n_vocab, dtype=np.int32)
        self._greedy = settings.temperature < _GREEDY_BELOW
        self._temperature = settings.temperature
        self._n_kept = 1 if self._greedy else settings.top_k or model.n_vocab
        self._biased, self._biases = resolve_biases(settings.logit_bias, model)
        self._answering = False
        self.may_end = True
        with ExitStack() as opened:
            self._grammar = None if grammar is None else Grammar(model, grammar)
            if self._grammar:
                opened.callback(self._grammar.close)
            self._penalties = self._chain(opened, self._penalty_samplers(settings, prompt, n_ctx))
            self._filters = self._chain(opened, () if self._greedy else self._filter_samplers(settings))
            self._opened = opened.pop_all()
        self._plain = self._greedy and not (
            grammar or len(self._biased) or self._llama.llama_sampler_chain_n(self._penalties)
        )

    def choose(self, context_handle: object, index: int = -1) -> int:
        """Choose the next token, and accept it.

        Args:
            context_handle: The llama.cpp context that has the logits.
            index: Whose: that of a token in the last batch, from its end if negative.

        Raises:
            EngineError: There are no logits, or no token can be next.
        """
        logits = self._llama.llama_get_logits_ith(context_handle, index)
        if not logits:
            raise EngineError(f"llama.cpp has no logits at {index}; read a prompt first")
        token = self.pick(np.ctypeslib.as_array(logits, (self._model.n_vocab,)))
        self._take(token)
        return token

    def pick(self, logits: NDArray[np.float32]) -> int:
        """Choose a token from `logits`, shape (n_vocab,), which stay as they are, without accepting it.

        Raises:
            EngineError: The logits are no numbers, or the grammar admits no token.
        """
        if self._plain:
            best = int(logits.argmax())  # that of a NaN if there is one
            if math.isfinite(logits[best]) and (self.may_end or best not in self._model.end_tokens):
                return best
        ids, adjusted = self._everything, self._adjusted(logits)
        if not math.isfinite(adjusted.max()):
            raise EngineError("the model gives logits that are no numbers; its file or this build is damaged")
        if self._grammar and self._answering:
            ids = self._admitted(self._grammar, adjusted)
            adjusted = adjusted[ids]
        if self._greedy:
            return int(ids[adjusted.argmax()])
        candidates = Candidates(ids, adjusted)
        candidates.apply(self._filters)
        return candidates.chosen

    def accept(self, token: int) -> None:
        """Go on with `token`, which was not chosen but has to come.

        Raises:
            EngineError: The model has no such token, or the grammar does not admit it.
        """
        if not 0 <= token < self._model.n_vocab:
            raise EngineError(f"token {token} has to come and the model has {self._model.n_vocab}")
        if self._grammar and self._answering and not self._grammar.admits(self._everything[[token]])[0]:
            raise EngineError(f"token {token} has to come and the grammar does not admit it")
        self._take(token)

    def begin_answer(self) -> None:
        """Let the grammar hold from now on; what came before was reasoning."""
        self._answering = True

    def close(self) -> None:
        """Free everything native."""
        self._opened.close()

    def _take(self, token: int) -> None:
        self._llama.llama_sampler_accept(self._penalties, token)
        if self._grammar and self._answering:
            self._grammar.accept(token)

    def _adjusted(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give `logits` with biases, ends and penalties applied, same shape."""
        biased = logits.copy()
        biased[self._biased] += self._biases
        if not self.may_end:
            biased[list(self._model.end_tokens)] -= _UNLIKELY
        if not self._llama.llama_sampler_chain_n(self._penalties):
            return biased
        candidates = Candidates(self._everything, biased)
        candidates.apply(self._penalties)
        return candidates.logits

    def _admitted(self, grammar: Grammar, logits: NDArray[np.float32]) -> NDArray[np.int32]:
        """Give the likeliest tokens that `grammar` admits, best first, as many as matter; shape (n,)."""
        n_tried = min(self._n_kept, _FIRST_TRIED)
        while True:
            tried = self._everything if n_tried >= len(logits) else _likeliest(logits, n_tried)
            admitted = tried[grammar.admits(tried)]
            if len(tried) == len(logits) or self._suffice(logits[admitted], float(logits[tried[-1]])):
                break
            n_tried *= _GROWTH
        if not len(admitted):
            raise EngineError("the grammar admits none of the model's tokens here; write it otherwise")
        return admitted

    def _suffice(self, admitted: NDArray[np.float32], least: float) -> bool:
        """Tell whether tokens with logits of at most `least` can be left out beside those `admitted`."""
        n_missing = self._n_kept - len(admitted)
        if n_missing <= 0 or not len(admitted):
            return n_missing <= 0
        odds = math.exp((least - float(admitted.max())) / self._temperature)
        return n_missing * odds < _NEGLIGIBLE

    def _chain(self, opened: ExitStack, samplers: Iterable[object]) -> object:
        chain = self._llama.llama_sampler_chain_init(self._llama.llama_sampler_chain_default_params())
        opened.callback(self._llama.llama_sampler_free, chain)
        for sampler in samplers:
            self._llama.llama_sampler_chain_add(chain, sampler)
        return chain

    def _penalty_samplers(self, settings: Sampling, prompt: Iterable[int], n_ctx: int) -> Iterator[object]:
        n_vocab, penalties = self._model.n_vocab, self._llama.llama_sampler_init_penalties
        if settings.repetition_penalty != 1:
            repetition = penalties(n_vocab, n_ctx, settings.repetition_penalty, 0.0, 0.0)
            for token in set(prompt):  # how often does not matter
                self._llama.llama_sampler_accept(repetition, token)
            yield repetition
        frequency, presence = settings.frequency_penalty, settings.presence_penalty
        if frequency or presence:
            yield penalties(n_vocab, n_ctx, 1.0, frequency, presence)

    def _filter_samplers(self, settings: Sampling) -> Iterator[object]:
        yield self._llama.llama_sampler_init_temp(settings.temperature)
        if settings.top_k:
            yield self._llama.llama_sampler_init_top_k(settings.top_k)
        if settings.top_p < 1:
            yield self._llama.llama_sampler_init_top_p(settings.top_p, _KEEP)
        if settings.min_p:
            yield self._llama.llama_sampler_init_min_p(settings.min_p, _KEEP)
        yield self._llama.llama_sampler_init_dist(_RANDOM_SEED if settings.seed is None else settings.seed)


def _likeliest(logits: NDArray[np.float32], count: int) -> NDArray[np.int32]:
    """Give the tokens of the `count` greatest logits and of those equal to the last, greatest first."""
    least = logits.max() if count == 1 else np.partition(logits, len(logits) - count)[len(logits) - count]
    ids = np.flatnonzero(logits >= least).astype(np.int32)
    return ids[np.argsort(-logits[ids], kind="stable")]
