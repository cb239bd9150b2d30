"""The vision encoder and projector of a bundle, driven through mtmd."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.images import Pixels
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.placement import ON_CPU, Resolved

__all__ = ["Embeddings", "Projector", "VisionChunk"]

Embeddings = NDArray[np.float32]
"""Encoder output, shape (n_tokens, n_embd · (1 + DeepStack layers)), as the language model takes it."""

# Our pixels already have the reference's size. llama.cpp would scale what lies outside its limits
# (default 8 to 4096 tokens) and letterbox it; these let every size through.
_ANY_MIN_TOKENS = 1
_ANY_MAX_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True)
class VisionChunk:
    """One picture or pair of frames as mtmd has cut it; valid inside `Projector.cut`.

    ``before`` and ``after`` are the token ids of <|vision_start|> and <|vision_end|>; ``n_tokens``
    counts KV cells.
    """

    before: list[int]
    after: list[int]
    n_tokens: int
    handle: int


class Projector:
    """A projector file opened for `model`.

    Args:
        path: GGUF file.
        model: The language model that takes its output.
        n_threads: Threads of the encoder.
        placement: Its device.
        eval_callback: Sees the nodes of its graphs, from `Library.observed_by`; None: nobody does.

    Raises:
        EngineError: llama.cpp refuses the file or it does not fit the model.
    """

    def __init__(
        self,
        path: Path,
        model: TextModel,
        *,
        n_threads: int,
        placement: Resolved = ON_CPU,
        eval_callback: object | None = None,
    ) -> None:
        self._mtmd = library().mtmd
        self._model = model
        parameters = self._mtmd.mtmd_context_params_default()
        parameters.n_threads = n_threads
        parameters.use_gpu = placement.projector_device is not None
        parameters.device = placement.projector_device.handle if placement.projector_device else None
        parameters.print_timings = False
        parameters.warmup = False  # an encoding for nothing
        parameters.image_min_tokens = _ANY_MIN_TOKENS
        parameters.image_max_tokens = _ANY_MAX_TOKENS
        self._eval_callback = eval_callback or library().eval_callback  # the native side has a pointer only
        parameters.cb_eval = self._eval_callback
        library().forget_complaints()
        self.handle = self._mtmd.mtmd_init_from_file(os.fsencode(path), model.handle, parameters)
        if not self.handle:
            raise EngineError(f"llama.cpp cannot open the projector {path}: {library().complaint()}")

    def close(self) -> None:
        """Free the projector; it is unusable afterwards."""
        if self.handle:
            self._mtmd.mtmd_free(self.handle)
            self.handle = None

    def encode_frames(self, frames: Sequence[Pixels]) -> Embeddings:
        """Encode one picture or pair of frames: `cut` and `encode` in one."""
        with self.cut(frames) as chunk:
            return self.encode(chunk)

    @contextmanager
    def cut(self, frames: Sequence[Pixels]) -> Iterator[VisionChunk]:
        """Cut one picture, or the two frames of a pair, into one chunk.

        Args:
            frames: One or two arrays of equal shape (H, W, 3), H and W multiples of 32 px.

        Raises:
            EngineError: mtmd refuses the frames.
        """
        library().forget_complaints()
        bitmaps = [self._bitmap(frame, mergeable=len(frames) > 1) for frame in frames]
        chunks = self._mtmd.mtmd_input_chunks_init()
        try:
            parts = [self._mtmd.mtmd_input_part(None, bitmap) for bitmap in bitmaps]
            pointers = (ctypes.POINTER(self._mtmd.mtmd_input_part) * len(parts))(*map(ctypes.pointer, parts))
            if self._mtmd.mtmd_tokenize_from_parts(self.handle, chunks, pointers, len(parts), False):
                raise EngineError(f"llama.cpp cannot take the picture: {library().complaint()}")
            yield self._chunk(chunks)
        finally:
            self._mtmd.mtmd_input_chunks_free(chunks)
            for bitmap in bitmaps:
                self._mtmd.mtmd_bitmap_free(bitmap)

    def _chunk(self, chunks: int) -> VisionChunk:
        """Take mtmd's chunks apart: start token, picture, end token."""
        mtmd = self._mtmd
        handles = [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks))]
        kinds = [mtmd.mtmd_input_chunk_get_type(handle) for handle in handles]
        text, image = mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT, mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
        if kinds != [text, image, text]:
            raise EngineError(
                f"llama.cpp cuts a picture in an unknown way ({kinds}); is this another version?"
            )
        before, picture, after = handles
        n_tokens = mtmd.mtmd_input_chunk_get_n_tokens(picture)
        return VisionChunk(self._text_tokens(before), self._text_tokens(after), n_tokens, picture)

    def _text_tokens(self, chunk: int) -> list[int]:
        count = ctypes.c_size_t()
        tokens = self._mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
        return list(tokens[: count.value])

    def encode(self, chunk: VisionChunk) -> Embeddings:
        """Run the vision encoder; returns a copy of its output, shape (n_tokens, n_embd_inp).

        Raises:
            Cancelled: `Library.cancel` was called meanwhile.
            EngineError: The encoder failed.
        """
        library().forget_complaints()
        failed = self._mtmd.mtmd_encode_chunk(self.handle, chunk.handle)
        library().check_cancelled()  # the encoder does not tell that it was stopped half-way
        if failed:
            raise EngineError(f"the vision encoder failed: {library().complaint()}")
        output = self._mtmd.mtmd_get_output_embd(self.handle)
        shape = (chunk.n_tokens, self._model.n_embd_inp)
        return np.ctypeslib.as_array(output, shape).copy()

    def _bitmap(self, pixels: Pixels, *, mergeable: bool) -> int:
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap: int = self._mtmd.mtmd_bitmap_init(width, height, data)
        self._mtmd.mtmd_bitmap_set_mergeable(bitmap, mergeable)
        return bitmap
