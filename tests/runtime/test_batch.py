"""Several sequences in one batch read as each does alone."""

from collections.abc import Iterator

import numpy as np
import pytest

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.runtime.batch import TextPiece, VisionPiece, text_batch, vision_batch
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.llama_engine import LlamaEngine
from qwen3vl_edge.runtime.projector import Embeddings
from tests.goldens import kl_divergence

_WORST_KL = 1e-6


@pytest.fixture(scope="module")
def context(tiny_bundle: Bundle) -> Iterator[Context]:
    exact = EngineSettings(n_threads=1, n_ctx=1024, kv_type="f32", flash_attention="off")
    with LlamaEngine(tiny_bundle, exact) as engine:
        yield engine._bench.context(1024)


def test_text_is_laid_out_piece_after_piece() -> None:
    batch = text_batch([TextPiece([5, 6, 7], 2, 10, 1), TextPiece([8], 0, 3), TextPiece([9, 9], 1, 0, 2)])
    assert batch.tokens is not None
    assert batch.tokens.tolist() == [5, 6, 7, 8, 9, 9]
    assert batch.positions.tolist() == [10, 11, 12, 3, 0, 1]
    assert batch.sequences.tolist() == [2, 2, 2, 0, 1, 1]
    assert batch.logits.tolist() == [0, 0, 1, 0, 1, 1]


def test_pictures_count_rows_and_columns_from_where_they_stand() -> None:
    pieces = [VisionPiece(_noise(2, 8), (1, 2), 3, 5), VisionPiece(_noise(4, 8), (2, 2), 1, 0)]
    batch = vision_batch(pieces)
    assert batch.positions.tolist() == [
        [5, 5, 0, 0, 0, 0],
        [5, 5, 0, 0, 1, 1],
        [5, 6, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    assert batch.sequences.tolist() == [3, 3, 1, 1, 1, 1]
    assert not batch.logits.any()


def test_sequences_that_share_batches_have_the_logits_that_each_has_alone(context: Context) -> None:
    pictures = {0: (2, 3), 1: (4, 4), 2: (1, 2)}
    embedded = {
        number: _noise(rows * columns, _width(context)) for number, (rows, columns) in pictures.items()
    }
    alone = {}
    for number, grid in pictures.items():
        context.read_tokens([1, 2], number, 0, logits=False)
        context.read_vision(embedded[number], grid, number, 2)
        context.read_tokens([7, 8 + number], number, 2 + max(grid))
        alone[number] = context.logits().copy()
        context.forget(number, 0)
    context.read_text([TextPiece([1, 2], number, 0) for number in pictures])
    context.read_visions(
        [VisionPiece(embedded[number], grid, number, 2) for number, grid in pictures.items()]
    )
    context.read_text(
        [TextPiece([7, 8 + number], number, 2 + max(grid), 1) for number, grid in pictures.items()]
    )
    for number in pictures:
        row = 2 * number + 1
        pointer = context._llama.llama_get_logits_ith(context.handle, row)
        together = np.ctypeslib.as_array(pointer, alone[number].shape)
        assert kl_divergence(alone[number], together) < _WORST_KL
        context.forget(number, 0)


def test_embeddings_that_do_not_fill_their_grid_are_refused(context: Context) -> None:
    with pytest.raises(EngineError, match="do not fill"):
        context.read_visions([VisionPiece(_noise(3, _width(context)), (2, 2), 0, 0)])


def _noise(n_tokens: int, width: int) -> Embeddings:
    return np.random.default_rng(n_tokens).normal(size=(n_tokens, width)).astype(np.float32)


def _width(context: Context) -> int:
    return context._model.n_embd_inp
