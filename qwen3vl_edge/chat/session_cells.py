"""What a session file says of the KV cells: which entries stand in them, and the hash over it all."""

import hashlib
import json

from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.runtime.cells import Entry, SavedCells

__all__ = ["entry_json", "parse_entries", "seal"]

_N_TOKEN_IDS = 1 << 31  # llama_token is int32_t, llama.h 0c1e57098


def seal(identity: str, cells: SavedCells) -> str:
    """Give the SHA-256 of the model's identity, the entries and the state, in hexadecimal.

    A state belongs to its entries: with others it would be read on from where it does not stand.
    """
    said = [identity, [entry_json(entry) for entry in cells.entries]]
    digest = hashlib.sha256(json.dumps(said, separators=(",", ":"), sort_keys=True).encode())
    digest.update(cells.state.data)
    return digest.hexdigest()


def entry_json(entry: Entry) -> int | dict[str, object]:
    """Give the token's id, or the object that stands for a picture."""
    if isinstance(entry.key, int):
        return entry.key
    return {"media": entry.key.hex(), "n_cells": entry.n_cells, "n_positions": entry.n_positions}


def parse_entries(fields: Fields, key: str) -> tuple[Entry, ...]:
    """Read the list of entries under `key`; faults are noted in `fields`."""
    values = fields.values[key]
    if not isinstance(values, list):
        fields.fault(key, "is no list")
        return ()
    return tuple(_entry(value, fields, key) for value in values)


def _entry(value: object, fields: Fields, key: str) -> Entry:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _N_TOKEN_IDS:
        return Entry(value)
    if not isinstance(value, dict):
        fields.fault(key, "holds something that is neither a token nor a picture")
        return Entry(0)
    item = Fields(value, f"{fields.where}: {key}", fields.problems)
    media = item.text("media")
    try:
        digest = bytes.fromhex(media)
    except ValueError:
        item.fault("media", "is no digest")
        digest = b""
    return Entry(digest, item.integer("n_cells"), item.integer("n_positions"))
