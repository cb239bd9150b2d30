"""A language model opened by llama.cpp, and its vocabulary."""

import ctypes
import os
from functools import cached_property
from pathlib import Path

from qwen3vl_edge.errors import EngineError
from qwen3vl_edge.progress import SILENT, Progress, Task
from qwen3vl_edge.prompt import SpecialTokens
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.placement import ON_CPU, Resolved

__all__ = ["TextModel"]

_LONGEST_PIECE = 256
_PERCENT = 100
_CONTROL, _USER_DEFINED = 1 << 3, 1 << 4  # LLAMA_TOKEN_ATTR_*, llama.h 0c1e57098


class TextModel:
    """The language model of a bundle.

    Args:
        path: GGUF file.
        extra_buffers: Let llama.cpp repack quantized weights for this CPU (``use_extra_bufts``).
        placement: Device and layers on it.
        progress: Told how much is loaded.

    Raises:
        Cancelled: `Library.cancel` was called meanwhile.
        EngineError: llama.cpp refuses the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        extra_buffers: bool = True,
        placement: Resolved = ON_CPU,
        progress: Progress = SILENT,
    ) -> None:
        self._llama = library().llama
        parameters = self._llama.llama_model_default_params()
        parameters.use_extra_bufts = extra_buffers
        devices = placement.devices()
        parameters.devices = ctypes.cast(devices, ctypes.c_void_p)
        parameters.n_gpu_layers = placement.n_gpu_layers
        library().forget_complaints()
        library().go_on()
        with progress.task("loading the model", _PERCENT, "%") as task:
            parameters.progress_callback = library().progress_callback
            library().report_loading(_Told(task).advance)
            self.handle = self._llama.llama_model_load_from_file(os.fsencode(path), parameters)
            library().report_loading(None)
        if not self.handle:
            library().check_cancelled()
            raise EngineError(f"llama.cpp cannot open {path}: {library().complaint()}")
        self.vocab = self._llama.llama_model_get_vocab(self.handle)
        self.n_vocab: int = self._llama.llama_vocab_n_tokens(self.vocab)
        self.n_embd_inp: int = self._llama.llama_model_n_embd_inp(self.handle)

    def close(self) -> None:
        """Free the weights; the model is unusable afterwards."""
        if self.handle:
            self._llama.llama_model_free(self.handle)
            self.handle = self.vocab = None

    def metadata(self, key: str) -> str | None:
        """Give the value of `key` in the GGUF file as text, None where it has none."""
        size = self._llama.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        self._llama.llama_model_meta_val_str(self.handle, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", "replace")

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Give the token ids of `text`; nothing is added before or after."""
        data = text.encode()
        room = len(data) + 1  # a token is one byte at least
        tokens = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(
            self.vocab,
            data,
            len(data),
            tokens,
            room,
            False,
            parse_special,
        )
        if count < 0:
            raise EngineError(f"the text of {len(data)} bytes cannot be tokenized; shorten it")
        return list(tokens[:count])

    def piece(self, token: int) -> bytes:
        """Give the bytes that `token` stands for; control tokens stand for none."""
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        size = self._llama.llama_token_to_piece(self.vocab, token, buffer, _LONGEST_PIECE, 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._llama.llama_token_to_piece(self.vocab, token, buffer, -size, 0, False)
        return buffer.raw[:size]

    def text(self, token: int) -> str:
        """Give `token` as the vocabulary file spells it, control tokens included."""
        spelled: bytes = self._llama.llama_vocab_get_text(self.vocab, token)
        return spelled.decode("utf-8", "replace")

    def ends_answer(self, token: int) -> bool:
        """Tell whether `token` ends an answer."""
        return bool(self._llama.llama_vocab_is_eog(self.vocab, token))

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """Every token that ends an answer."""
        return tuple(filter(self.ends_answer, range(self.n_vocab)))

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """Every added token as text."""
        attribute = self._llama.llama_vocab_get_attr
        control: list[str] = []
        user_defined: list[str] = []
        for token in range(self.n_vocab):
            bits = attribute(self.vocab, token)
            if bits & (_CONTROL | _USER_DEFINED):
                (control if bits & _CONTROL else user_defined).append(self.text(token))
        return SpecialTokens(tuple(control), tuple(user_defined))


class _Told:
    """Turns llama.cpp's share of what is loaded, 0 to 1, into whole steps of a task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._n_done = 0

    def advance(self, share: float) -> None:
        n_more = int(share * _PERCENT) - self._n_done
        if n_more > 0:
            self._n_done += n_more
            self._task.advance(n_more)
