"""Encoder outputs that need not be computed again: in memory and, on request, on the disk."""

import hashlib
from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.build_identity import build_id
from qwen3vl_edge.runtime.embedding_file import KEY_BYTES
from qwen3vl_edge.runtime.embedding_store import EmbeddingStore
from qwen3vl_edge.runtime.file_identity import projector_identity

__all__ = ["EmbeddingCache", "EmbeddingStore", "projector_identity"]


class EmbeddingCache:
    """The outputs of one encoder by the digest of what it saw, those longest unused forgotten first.

    Args:
        projector_id: Tells projectors apart by content: `projector_identity`.
        ram_bytes: Kept in memory at most; an output larger than that is not kept there.
        store: Keeps them on the disk as well. There they are also told apart by the build of llama.cpp.
        variant: What else changes the output, such as the device and flash attention, by which the
            entries on the disk are told apart.

    Threads may share one. ``hits`` and ``misses`` count the answers of `get`.
    """

    def __init__(
        self, projector_id: str, *, ram_bytes: int, store: EmbeddingStore | None = None, variant: str = ""
    ) -> None:
        self._ram_bytes, self._used_bytes = ram_bytes, 0
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()
        self._store = store
        self._salt = b"" if store is None else _salt(projector_id, build_id(), variant)
        self.hits = self.misses = 0

    def has(self, digest: bytes) -> bool:
        """Tell whether `get` will have it, unless the file on the disk turns out to be damaged."""
        return digest in self._kept or (self._store is not None and self._store.has(self._key(digest)))

    def get(self, digest: bytes) -> NDArray[np.float32] | None:
        """Give the output for this digest, shape (n_tokens, n_embd_inp), read-only; None if it is unknown."""
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
        if found is None and self._store is not None:
            found = self._store.get(self._key(digest))
            if found is not None:
                self._keep(digest, found)
        with self._lock:
            self.hits += found is not None
            self.misses += found is None
        return None if found is None else found.view()

    def put(self, digest: bytes, embeddings: NDArray[np.float32]) -> None:
        """Keep an output, shape (n_tokens, n_embd_inp). The array is taken over: it becomes read-only."""
        self._keep(digest, embeddings)
        if self._store is not None:
            self._store.put(self._key(digest), embeddings)

    def _keep(self, digest: bytes, embeddings: NDArray[np.float32]) -> None:
        # a view could be written to through its base, and would keep all of that
        mine = embeddings if embeddings.base is None else embeddings.copy()
        mine.flags.writeable = False
        with self._lock:
            self._forget(digest)
            if mine.nbytes > self._ram_bytes:
                return
            while self._used_bytes + mine.nbytes > self._ram_bytes:
                self._forget(next(iter(self._kept)))
            self._kept[digest] = mine
            self._used_bytes += mine.nbytes

    def _forget(self, digest: bytes) -> None:
        forgotten = self._kept.pop(digest, None)
        if forgotten is not None:
            self._used_bytes -= forgotten.nbytes

    def _key(self, digest: bytes) -> bytes:
        return hashlib.blake2b(self._salt + digest, digest_size=KEY_BYTES).digest()


def _salt(*parts: str) -> bytes:
    """Give bytes of one length, so that no digest can pass for a part."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=KEY_BYTES).digest()
