"""A grammar followed by llama.cpp itself, with the vocabulary of a model."""

from random import Random

import numpy as np

from qwen3vl_edge.runtime.grammar import Grammar
from qwen3vl_edge.runtime.model import TextModel

_LONG = 100  # tokens; from here on the answer is brought to its end
_ENDLESS = 3000


class Native:
    """The tokens of a model."""

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._all = np.arange(model.n_vocab, dtype=np.int32)
        self._pieces = [model.piece(token) for token in range(model.n_vocab)]
        self._ends = np.array([model.ends_answer(token) for token in range(model.n_vocab)])
        self._closes = np.array([piece[:1] in {b'"', b"]", b"}"} for piece in self._pieces])

    def fits(self, grammar: str, text: str) -> bool:
        """Whether llama.cpp admits `text`, token by token, and an end behind it."""
        follower = Grammar(self._model, grammar)
        try:
            for token in self._model.tokenize(text, parse_special=False):
                if not follower.admits(self._all[[token]])[0]:
                    return False
                follower.accept(token)
            return bool((follower.admits(self._all) & self._ends).any())
        finally:
            follower.close()

    def random_text(self, grammar: str, rng: Random) -> str:
        """Return an answer of tokens drawn from all that llama.cpp admits, closing ones more often."""
        follower = Grammar(self._model, grammar)
        answer = b""
        try:
            for count in range(_ENDLESS):
                admitted = follower.admits(self._all)
                assert admitted.any(), answer
                others = admitted & ~self._ends
                if (admitted & self._ends).any() and (not others.any() or rng.random() < 0.3):
                    return answer.decode()
                closing = others & self._closes
                hurry = rng.random() < (0.2 if count < _LONG else 0.9)
                token = int(rng.choice(self._all[closing if hurry and closing.any() else others]))
                follower.accept(token)
                answer += self._pieces[token]
            raise AssertionError(f"no end after {_ENDLESS} tokens: {answer[-100:]!r}")
        finally:
            follower.close()
