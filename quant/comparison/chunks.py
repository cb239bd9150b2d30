"""A passage as the reference tokenizes it, cut into chunks as llama-perplexity cuts it."""

import numpy as np

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.quant.comparison.material import Material
from qwen3vl_edge.quant.comparison.opened import Opened
from qwen3vl_edge.quant.comparison.store import Store, record_key

__all__ = ["Chunks"]


class Chunks:
    """The passage of `material`; its tokens, by the model `model_id`, are kept in `store`."""

    def __init__(self, material: Material, store: Store, model_id: str) -> None:
        self._material, self._store = material, store
        self.identity = material.passage.identity if material.passage else ""
        """Tells the passage from others by content; empty where there is none."""
        self._key = record_key("tokens", model_id, self.identity)

    def count(self, opened: Opened) -> int:
        """Give how many chunks are wanted and there, after tokenizing with `opened` what is not known yet.

        Raises:
            UsageError: The passage is too short.
        """
        material = self._material
        if material.passage is None:
            return 0
        record = self._store.get(self._key)
        if record is None:
            record = {"tokens": np.array(opened.scorer.tokenize(material.passage.text), np.int32)}
            self._store.put(self._key, record)
        n_tokens = record["tokens"].size
        if n_tokens < material.chunk_tokens:
            raise UsageError(
                f"{material.passage.name}: {n_tokens} tokens of text are less than one chunk of "
                f"{material.chunk_tokens}; give more text, or smaller chunks with --chunk-tokens"
            )
        return min(n_tokens // material.chunk_tokens, material.most_chunks or n_tokens)

    def tokens(self, number: int) -> list[int]:
        """Give the tokens of one chunk, once they have been counted.

        Raises:
            EngineError: The store has lost them.
        """
        record, size = self._store.get(self._key), self._material.chunk_tokens
        if record is None:
            raise self._store.lost()
        tokens: list[int] = record["tokens"][number * size : (number + 1) * size].tolist()
        return tokens
