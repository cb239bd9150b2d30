"""Text and prompts read for what the weights are multiplied with meanwhile, not for an answer."""

from collections.abc import Sequence

from qwen3vl_edge.errors import ContextFullError
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.context import Context
from qwen3vl_edge.runtime.native import library
from qwen3vl_edge.runtime.workbench import Workbench

__all__ = ["ActivationReader"]


class ActivationReader:
    """A sequence of cells that is emptied before each piece.

    Every token of text has logits, as in llama-imatrix: without, the last layer would compute nothing for
    it. Pictures have none, as in use, where nobody asks what comes after half a picture.

    Args:
        bench: What the sessions of an engine share; its context has room for the logits of a batch.
        number: The sequence that is this reader's alone.
    """

    def __init__(self, bench: Workbench, number: int) -> None:
        self._bench = bench
        self._number = number
        self._position = 0  # of the next token

    def tokenize(self, text: str) -> list[int]:
        """Give the ids of `text` as llama-imatrix reads a file: nothing is special, BOS comes first."""
        tokens = self._bench.model.tokenize(text, parse_special=False)
        return [*self._bos(), *tokens]

    def read_chunk(self, tokens: Sequence[int]) -> int:
        """Read a chunk of text, its first token replaced by BOS if there is one; give their number.

        Source: compute_imatrix in tools/imatrix/imatrix.cpp, llama.cpp 0c1e57098.

        Raises:
            ContextFullError: The context may not have so many cells.
            Cancelled, EngineError: As for `Context.read_tokens`.
        """
        bos = self._bos()
        self._begin(len(tokens))
        self._read([*bos, *tokens[len(bos) :]])
        return len(tokens)

    def read_prompt(self, parts: Sequence[Part], n_answer: int) -> int:
        """Read a prompt and at most `n_answer` tokens of the model's own greedy answer; give their number.

        Raises:
            ContextFullError: The context may not have so many cells.
            MediaError: A clip cannot be decoded.
            Cancelled, EngineError: As for `Context.read_tokens`.
        """
        prompt = self._bench.tokenizer.prompt(parts)
        n_prompt = prompt.n_text + prompt.n_vision
        self._begin(n_prompt + n_answer)
        pending: list[int] = []
        for key in prompt.keys:
            if isinstance(key, int):
                pending.append(key)
                continue
            embeddings = self._bench.encode(prompt.visions[key])
            self._read(pending)
            pending = []
            self._context.read_vision(embeddings, prompt.grid(key), self._number, self._position)
            self._position += prompt.entry(key).n_positions
        self._read(pending)
        return n_prompt + self._answer(n_answer)

    def close(self) -> None:
        """Give the cells back."""
        self._bench.empty(self._number, 0)
        self._bench.give_back(self._number)

    def _answer(self, n_tokens: int) -> int:
        """Write and read on; give how many tokens of the answer were read."""
        for done in range(n_tokens):
            token = int(self._context.logits().argmax())
            if self._bench.model.ends_answer(token):
                return done
            self._read([token])
        return n_tokens

    def _begin(self, n_tokens: int) -> None:
        """Empty the cells and have room for `n_tokens`."""
        if n_tokens > self._bench.limit:
            raise ContextFullError(
                f"takes {n_tokens} tokens and the context {self._bench.limit}; give smaller pictures or "
                "shorter clips"
            )
        library().check_cancelled()
        self._bench.empty(self._number, 0)
        self._position = 0
        self._bench.context(n_tokens)

    def _read(self, tokens: Sequence[int]) -> None:
        context = self._context
        for start in range(0, len(tokens), context.n_scored):
            piece = tokens[start : start + context.n_scored]
            context.read_scored(piece, self._number, self._position)
            library().check_cancelled()  # a graph that was given up looks like one that ended
            self._position += len(piece)

    def _bos(self) -> list[int]:
        """Give the token that begins every text, if this vocabulary has one added."""
        llama, vocab = library().llama, self._bench.model.vocab
        return [llama.llama_vocab_bos(vocab)] if llama.llama_vocab_get_add_bos(vocab) else []

    @property
    def _context(self) -> Context:
        return self._bench.context(0)
