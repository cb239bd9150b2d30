"""llama.cpp's sampler chain, in the order of the reference."""

from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.sampling import Sampling

__all__ = ["Sampler"]

_RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED, llama.h 0c1e57098: draw one
_WHOLE_ANSWER = -1  # penalties look back over the whole context


class Sampler:
    """Chooses tokens as `settings` say, remembering what it chose.

    Penalties, then temperature, top-k and top-p: transformers 5.23 applies its logits warpers in
    this order (``GenerationMixin._get_logits_processor``), and top-p depends on the temperature
    having been applied before it. llama.cpp's own default order has the temperature last.
    """

    def __init__(self, settings: Sampling) -> None:
        llama = self._llama = library().llama
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if settings.repetition_penalty != 1 or settings.presence_penalty:
            self._add(
                llama.llama_sampler_init_penalties(
                    _WHOLE_ANSWER, settings.repetition_penalty, 0.0, settings.presence_penalty
                )
            )
        if settings.temperature == 0:
            self._add(llama.llama_sampler_init_greedy())
            return
        self._add(llama.llama_sampler_init_temp(settings.temperature))
        if settings.top_k:
            self._add(llama.llama_sampler_init_top_k(settings.top_k))
        if settings.top_p < 1:
            self._add(llama.llama_sampler_init_top_p(settings.top_p, 1))
        seed = _RANDOM_SEED if settings.seed is None else settings.seed
        self._add(llama.llama_sampler_init_dist(seed))

    def choose(self, context: Context) -> int:
        """Choose the token that follows what `context` has read."""
        return int(self._llama.llama_sampler_sample(self._chain, context.handle, -1))

    def close(self) -> None:
        """Free the chain."""
        if self._chain:
            self._llama.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: object) -> None:
        self._llama.llama_sampler_chain_add(self._chain, sampler)
