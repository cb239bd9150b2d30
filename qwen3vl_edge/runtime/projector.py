"""The vision encoder and projector of a bundle, driven through mtmd."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library

__all__ = ["Embeddings", "Projector", "VisionChunk"]

Embeddings = NDArray[np.float32]
"""Encoder output, shape (n_tokens, n_embd · (1 + DeepStack layers)), as the language model takes it."""

# Our pixels already have the reference's size. llama.cpp would scale what lies outside its limits
# (default 8 to 4096 tokens) and letterbox it; these let every size through.
_ANY_MIN_TOKENS = 1
_ANY_MAX_TOKENS = 1 << 20


class VisionChunk:
    """One picture or pair of frames as mtmd has cut it; holds native memory until closed.

    ``before`` and ``after`` are the token ids of <|vision_start|> and <|vision_end|>; ``n_tokens``
    counts KV cells, ``n_positions`` M-RoPE positions (the larger side of the grid).
    """

    def __init__(self, chunks: int) -> None:
        self._mtmd = library().mtmd
        self._chunks = chunks
        self.before: list[int] = []
        self.after: list[int] = []
        self.handle: int | None = None
        for index in range(self._mtmd.mtmd_input_chunks_size(chunks)):
            chunk = self._mtmd.mtmd_input_chunks_get(chunks, index)
            if self._mtmd.mtmd_input_chunk_get_type(chunk) == self._mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                self.handle = chunk
            else:
                (self.after if self.handle else self.before).extend(self._text_tokens(chunk))
        self.n_tokens: int = self._mtmd.mtmd_input_chunk_get_n_tokens(self.handle)
        self.n_positions: int = self._mtmd.mtmd_input_chunk_get_n_pos(self.handle)

    def _text_tokens(self, chunk: int) -> list[int]:
        count = ctypes.c_size_t()
        tokens = self._mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
        return list(tokens[: count.value])

    def close(self) -> None:
        """Free the native chunk."""
        if self._chunks:
            self._mtmd.mtmd_input_chunks_free(self._chunks)
            self._chunks = 0
            self.handle = None


class Projector:
    """A projector file opened for `model`.

    Raises:
        EngineError: llama.cpp refuses the file or it does not fit the model.
    """

    def __init__(self, path: Path, model: TextModel, *, n_threads: int) -> None:
        self._mtmd = library().mtmd
        self._model = model
        parameters = self._mtmd.mtmd_context_params_default()
        parameters.n_threads = n_threads
        parameters.print_timings = False
        parameters.warmup = False  # an encoding for nothing
        parameters.image_min_tokens = _ANY_MIN_TOKENS
        parameters.image_max_tokens = _ANY_MAX_TOKENS
        self.handle = self._mtmd.mtmd_init_from_file(os.fsencode(path), model.handle, parameters)
        if not self.handle:
            raise EngineError(f"llama.cpp cannot open the projector {path}: {library().take_complaint()}")

    def close(self) -> None:
        """Free the projector; it is unusable afterwards."""
        if self.handle:
            self._mtmd.mtmd_free(self.handle)
            self.handle = None

    @contextmanager
    def cut(self, frames: Sequence[Pixels]) -> Iterator[VisionChunk]:
        """Cut one picture, or the two frames of a pair, into one chunk.

        Args:
            frames: One or two arrays of equal shape (H, W, 3), H and W multiples of 32 px.

        Raises:
            EngineError: mtmd refuses the frames.
        """
        bitmaps = [self._bitmap(frame, mergeable=len(frames) > 1) for frame in frames]
        chunks = self._mtmd.mtmd_input_chunks_init()
        chunk: VisionChunk | None = None
        try:
            parts = [self._mtmd.mtmd_input_part(None, bitmap) for bitmap in bitmaps]
            pointers = (ctypes.POINTER(self._mtmd.mtmd_input_part) * len(parts))(*map(ctypes.pointer, parts))
            refused = self._mtmd.mtmd_tokenize_from_parts(self.handle, chunks, pointers, len(parts), False)
            if refused:
                raise EngineError(f"llama.cpp cannot take the picture: {library().take_complaint()}")
            chunk = VisionChunk(chunks)
            yield chunk
        finally:
            if chunk is not None:
                chunk.close()
            else:
                self._mtmd.mtmd_input_chunks_free(chunks)
            for bitmap in bitmaps:
                self._mtmd.mtmd_bitmap_free(bitmap)

    def encode(self, chunk: VisionChunk) -> Embeddings:
        """Run the vision encoder; returns a copy of its output, shape (n_tokens, n_embd_inp).

        Raises:
            EngineError: The encoder failed.
        """
        if self._mtmd.mtmd_encode_chunk(self.handle, chunk.handle):
            raise EngineError(f"the vision encoder failed: {library().take_complaint()}")
        output = self._mtmd.mtmd_get_output_embd(self.handle)
        shape = (chunk.n_tokens, self._model.n_embd_inp)
        return np.ctypeslib.as_array(output, shape).copy()

    def _bitmap(self, pixels: Pixels, *, mergeable: bool) -> int:
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap: int = self._mtmd.mtmd_bitmap_init(width, height, data)
        self._mtmd.mtmd_bitmap_set_mergeable(bitmap, mergeable)
        return bitmap
