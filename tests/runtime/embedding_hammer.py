"""Reads and writes one small store and checks whatever it reads; the arguments are folder, limit, seed."""

import random
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.runtime.embedding_store import EmbeddingStore


def values_of(name: int) -> NDArray[np.float32]:
    """Give the entry of this number, 1 to 20 KB."""
    return np.random.default_rng(name).standard_normal((1 + name % 20, 256), np.float32)


def main() -> None:
    folder, limit_bytes, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store, rng, n_hits = EmbeddingStore(folder, limit_bytes=limit_bytes), random.Random(seed), 0
    for _ in range(600):
        name = rng.randrange(40)
        key = sha256(bytes([name])).digest()
        found = store.get(key)
        if found is None:
            store.put(key, values_of(name))
        elif not np.array_equal(found, values_of(name)):
            raise SystemExit(f"entry {name} is another one")
        n_hits += found is not None
    if not n_hits:
        raise SystemExit("nothing was found")


if __name__ == "__main__":
    main()
