"""What a model thinks of given text: logits at each of its tokens, alone or after a prompt with pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.errors import ContextFullError, UsageError
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.cells import Key
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.speed import Speed, measure_speed
from qwen3vl_edge.runtime.tokenized import TokenizedPrompt
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["Logits", "Scorer"]

Logits = NDArray[np.float32]
"""Logits at successive positions, shape (n, n_vocab); row i is for the token that comes next. Valid until
the next piece is asked for: a piece of a large vocabulary is a hundred megabytes."""


class Scorer:
    """A sequence of cells in which given answers are read (teacher forcing).

    Every prompt is evaluated in the same calls, whatever was read before it: up to the last picture, then
    its rest with the answer. So what stands up to the last picture may stay for the next question, and
    the logits are the same to the last bit.

    Args:
        bench: What the sessions of an engine share.
        number: The sequence that is this scorer's alone.
    """

    def __init__(self, bench: Workbench, number: int) -> None:
        self._bench = bench
        self._number = number
        self._kept: tuple[Key, ...] = ()  # stands in the cells; ends in a picture, or is empty
        self._position = 0  # of the next token

    @property
    def n_vocab(self) -> int:
        """Tokens of the vocabulary."""
        return self._bench.model.n_vocab

    def tokenize(self, text: str) -> list[int]:
        """Give the ids of `text`, in which nothing is special."""
        return self._bench.model.tokenize(text, parse_special=False)

    def spell(self, tokens: Sequence[int]) -> str:
        """Give the text of `tokens`; control tokens have none."""
        model = self._bench.model
        return b"".join(map(model.piece, tokens)).decode("utf-8", "replace")

    def ends_answer(self, token: int) -> bool:
        """Tell whether `token` ends an answer."""
        return self._bench.model.ends_answer(token)

    def answer(self, parts: Sequence[Part], max_tokens: int, begun: Sequence[int] = ()) -> tuple[int, ...]:
        """Give the greedy answer to the prompt `parts`, the token that ends it among them.

        Of a Thinking model the reasoning is part of it.

        Args:
            parts: The prompt.
            max_tokens: Of the whole answer.
            begun: How it begins; one token at least comes after.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `Engine.generate`.
        """
        rest = self._read_prompt(parts, max_tokens)
        tokens = list(begun)
        self._read([*rest, *tokens][:-1])
        logits = self._next([*rest, *tokens][-1])
        while True:
            tokens.append(int(logits.argmax()))
            if len(tokens) >= max_tokens or self.ends_answer(tokens[-1]):
                return tuple(tokens)
            logits = self._next(tokens[-1])

    def scored(self, parts: Sequence[Part], answer: Sequence[int]) -> Iterator[Logits]:
        """Give the logits for each token of `answer` after the prompt `parts`, piece by piece.

        Raises:
            UsageError: The answer is empty.
            ContextFullError, Cancelled, EngineError: As for `Engine.generate`.
        """
        if not answer:
            raise UsageError("an empty answer cannot be scored; give text")
        rest = self._read_prompt(parts, len(answer))
        return self._scored([*rest, *answer[:-1]], first=len(rest) - 1)

    def scored_text(self, tokens: Sequence[int]) -> Iterator[Logits]:
        """Give the logits for the tokens of the second half of a chunk of text, piece by piece.

        As llama-perplexity does (llama.cpp 0c1e57098, ``tools/perplexity/perplexity.cpp``): the first
        token gives way to BOS where the vocabulary has one added; of n tokens those from n // 2 + 1 on
        are scored, which leaves n - 1 - n // 2 of them.

        Raises:
            ContextFullError, Cancelled, EngineError: As for `Engine.generate`.
        """
        self._forget()
        self._make_room(len(tokens))
        llama, vocab = library().llama, self._bench.model.vocab
        read = list(tokens[:-1])
        if llama.llama_vocab_get_add_bos(vocab):
            read[0] = llama.llama_vocab_bos(vocab)
        return self._scored(read, first=len(tokens) // 2)

    def measure_speed(self) -> Speed:
        """Measure how fast the model reads, writes and looks; see `measure_speed`."""
        return measure_speed(self._bench)

    def close(self) -> None:
        """Give the cells back."""
        self._forget()
        self._bench.give_back(self._number)

    def _read_prompt(self, parts: Sequence[Part], n_answer: int) -> list[int]:
        """Read a prompt up to its last picture; give the tokens after it."""
        prompt = self._bench.tokenizer.prompt(parts)
        ends = [i + 1 for i, key in enumerate(prompt.keys) if isinstance(key, bytes)]
        shown = prompt.keys[: ends[-1]] if ends else ()
        self._make_room(prompt.n_text + prompt.n_vision + n_answer)
        if shown != self._kept:
            self._forget()
            self._read_shown(prompt, shown)
            self._kept = shown
        entries = [prompt.entry(key) for key in shown]
        self._position = sum(entry.n_positions for entry in entries)
        self._bench.empty(self._number, self._position)
        return [key for key in prompt.keys[len(shown) :] if isinstance(key, int)]

    def _read_shown(self, prompt: TokenizedPrompt, keys: Sequence[Key]) -> None:
        context = self._bench.context(0)
        pending: list[int] = []
        for key in keys:
            if isinstance(key, int):
                pending.append(key)
                continue
            self._read(pending)
            pending = []
            embeddings = self._bench.encode(prompt.visions[key])
            context.read_vision(embeddings, prompt.grid(key), self._number, self._position)
            self._position += prompt.entry(key).n_positions

    def _read(self, tokens: Sequence[int]) -> None:
        context = self._bench.context(0)
        for start in range(0, len(tokens), context.n_batch):
            piece = tokens[start : start + context.n_batch]
            context.read_tokens(piece, self._number, self._position, logits=False)
            self._position += len(piece)

    def _scored(self, tokens: Sequence[int], first: int = 0) -> Iterator[Logits]:
        """Read `tokens`; give the logits after each from index `first` on."""
        self._read(tokens[:first])
        context = self._bench.context(0)
        for start in range(first, len(tokens), context.n_scored):
            piece = tokens[start : start + context.n_scored]
            logits = context.read_scored(piece, self._number, self._position)
            self._position += len(piece)
            yield logits

    def _next(self, token: int) -> NDArray[np.float32]:
        """Read `token`; give the logits after it, shape (n_vocab,)."""
        context = self._bench.context(0)
        context.read_tokens([token], self._number, self._position)
        self._position += 1
        return context.logits()

    def _make_room(self, n_tokens: int) -> None:
        """Have cells for `n_tokens`, before anything is read.

        Raises:
            ContextFullError: They are more than the context may have.
        """
        if n_tokens > self._bench.limit:
            raise ContextFullError(
                f"prompt and answer take {n_tokens} tokens and the context {self._bench.limit}; give smaller "
                "pictures, or shorter answers or chunks"
            )
        self._bench.context(n_tokens)

    def _forget(self) -> None:
        self._kept, self._position = (), 0
        self._bench.empty(self._number, 0)
