"""llama.cpp's sampler chain, in the order of the reference."""

from collections.abc import Iterable, Iterator

from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.sampling import Sampling

__all__ = ["Sampler"]

_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED, llama.h 0c1e57098: draw one
_KEEP = 1  # filters leave this many tokens at least


class Sampler:
    """Chooses the tokens that follow what `context` has read, as `settings` say.

    Penalties, then temperature, top-k, top-p and min-p: transformers 5.23 applies its logits
    processors in this order (``GenerationMixin._get_logits_processor``), and top-p depends on the
    temperature having been applied before it. llama.cpp's own default order has the temperature last.

    Args:
        context: Where the logits come from.
        settings: What to do with them.
        prompt: The prompt's text tokens: the repetition penalty counts them too, as the reference's does.
    """

    def __init__(self, context: Context, settings: Sampling, prompt: Iterable[int]) -> None:
        llama = self._llama = library().llama
        self._context = context
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for sampler in self._samplers(settings):
            llama.llama_sampler_chain_add(self._chain, sampler)
        if settings.repetition_penalty != 1:
            for token in prompt:
                llama.llama_sampler_accept(self._chain, token)

    def choose(self) -> int:
        """Choose the next token."""
        return int(self._llama.llama_sampler_sample(self._chain, self._context.handle, -1))

    def close(self) -> None:
        """Free the chain."""
        if self._chain:
            self._llama.llama_sampler_free(self._chain)
            self._chain = None

    def _samplers(self, settings: Sampling) -> Iterator[object]:
        llama = self._llama
        if settings.repetition_penalty != 1 or settings.presence_penalty:
            yield llama.llama_sampler_init_penalties(
                self._context.n_vocab,
                self._context.n_ctx,  # look back over everything
                settings.repetition_penalty,
                0.0,
                settings.presence_penalty,
            )
        if settings.temperature == 0:
            yield llama.llama_sampler_init_greedy()
            return
        yield llama.llama_sampler_init_temp(settings.temperature)
        if settings.top_k:
            yield llama.llama_sampler_init_top_k(settings.top_k)
        if settings.top_p < 1:
            yield llama.llama_sampler_init_top_p(settings.top_p, _KEEP)
        if settings.min_p:
            yield llama.llama_sampler_init_min_p(settings.min_p, _KEEP)
        yield llama.llama_sampler_init_dist(_RANDOM_SEED if settings.seed is None else settings.seed)
