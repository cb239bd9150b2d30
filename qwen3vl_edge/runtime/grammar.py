"""A grammar that follows an answer token by token."""

import codecs

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.constraints import read_gbnf
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.candidates import Candidates
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library

__all__ = ["Grammar"]

_UNKNOWN, _FIT, _UNFIT = 0, 1, 2


class Grammar:
    """What an answer may be, in GBNF; the answer begins with the rule ``root``.

    The tokens that end an answer are admitted when it is complete. Beyond what llama.cpp refuses, these
    are: control tokens, which it takes for the text of their names although they show nothing; and
    tokens that make the answer ill-formed UTF-8. It reads some of those as characters, overlong ones as
    NUL, which it takes for the end of the token when it is asked and for a character when it has to
    accept it: then it could abort (``decode_utf8``, src/llama-grammar.cpp, 0c1e57098).

    Args:
        model: Spells the tokens; must outlive the grammar.
        text: The grammar.

    Raises:
        UsageError: `text` is no grammar, or one that llama.cpp cannot follow.
    """

    def __init__(self, model: TextModel, text: str) -> None:
        read_gbnf(text)  # what is refused here may take llama.cpp down
        self._llama = library().llama
        self._model = model
        self._pending = b""  # the bytes of a character that is not complete
        self._fitness = np.full(model.n_vocab, _UNKNOWN, np.int8)  # of each token after whole characters
        library().forget_complaints()
        self._sampler = self._llama.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
        if not self._sampler:
            raise UsageError(f"llama.cpp refuses the grammar: {library().complaint()}; write it otherwise")

    def admits(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell of each of `tokens`, shape (n,), whether it may be next; same shape."""
        candidates = Candidates(tokens, np.zeros(len(tokens), np.float32))
        candidates.apply(self._sampler)
        admitted = np.isfinite(candidates.logits)
        admitted[admitted] = self._fit(tokens[admitted])
        return admitted

    def accept(self, token: int) -> None:
        """Go on with `token`, which `admits` must have admitted here: llama.cpp aborts on others."""
        if self._model.ends_answer(token):
            return
        self._llama.llama_sampler_accept(self._sampler, token)
        self._pending = _incomplete(self._pending + self._model.piece(token)) or b""

    def close(self) -> None:
        """Free it."""
        if self._sampler:
            self._llama.llama_sampler_free(self._sampler)
            self._sampler = None

    def _fit(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell which of `tokens` show something and keep the answer well-formed; shape (n,) in and out."""
        if self._pending:
            return np.fromiter((self._goes_on(int(token)) for token in tokens), np.bool_, len(tokens))
        for token in tokens[self._fitness[tokens] == _UNKNOWN]:
            self._fitness[token] = _FIT if self._goes_on(int(token)) else _UNFIT
        fit: NDArray[np.bool_] = self._fitness[tokens] == _FIT
        return fit

    def _goes_on(self, token: int) -> bool:
        if self._model.ends_answer(token):
            return True  # llama.cpp has looked whether the answer is complete
        piece = self._model.piece(token)
        if not piece or b"\0" in piece:  # llama.cpp's texts end at NUL
            return False
        return _incomplete(self._pending + piece) is not None


def _incomplete(data: bytes) -> bytes | None:
    """Give the bytes at the end of `data` that begin a character; None if this is no UTF-8 so far."""
    try:
        _, n_complete = codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return None
    end = data[n_complete:]
    # half a surrogate pair: Python finds out with its third byte only
    return None if end[:1] == b"\xed" and end[1:2] >= b"\xa0" else end
