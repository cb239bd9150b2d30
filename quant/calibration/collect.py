"""The importance matrix of a pair of files: every piece is read, the sums are kept, a kill costs little."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import ContextFullError, EngineError, MediaError, UsageError, join_problems
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.messages import Message
from qwen3vl_edge.progress import SILENT, Progress
from qwen3vl_edge.quant.calibration.pieces import Piece, TextChunk
from qwen3vl_edge.quant.calibration.state import Progressed, StateFile
from qwen3vl_edge.quant.imatrix_sums import ImatrixSums
from qwen3vl_edge.runtime.activation_reader import ActivationReader
from qwen3vl_edge.runtime.activations import Collector
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["Collected", "collect", "settings_digest", "weights_of"]

_SAVE_EVERY_S = 20.0
_LEAST_PAUSE = 20.0  # times as long as saving takes: of many experts it is a gigabyte
_LEAST_DIMENSIONS = 2
# llama-imatrix takes the last product, of states with the vocabulary, only with --process-output; the
# matrix of tied models has the name of the embedding.
_OUTPUT = frozenset({"output.weight", "token_embd.weight"})


@dataclass(frozen=True, slots=True)
class Collected:
    """What came of it.

    ``n_pieces`` were read, of each kind: text, picture, clip; ``notes`` say which were not, and why.
    ``n_resumed`` of the pieces had been read before, by a run that was interrupted.
    """

    sums: ImatrixSums
    n_pieces: dict[str, int]
    notes: tuple[str, ...]
    n_resumed: int


def weights_of(bundle: Bundle, *, process_output: bool) -> frozenset[str]:
    """List the matrices of both files that may be multiplied with; the last one only if that is wanted."""
    names = {
        tensor.name
        for path in (bundle.model, bundle.projector)
        for tensor in GGUFInfo.read(path).tensors
        if len(tensor.shape) >= _LEAST_DIMENSIONS and tensor.name.endswith(".weight")
    }
    return frozenset(names if process_output else names - _OUTPUT)


def settings_digest(info: EngineInfo, weights: frozenset[str], pieces: Sequence[Piece], n_answer: int) -> str:
    """Give a digest of everything that the sums depend on but the machine."""
    digest = hashlib.sha256(repr((info.identity, sorted(weights), n_answer)).encode())
    for piece in pieces:
        digest.update(piece.identity.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def collect(  # noqa: PLR0913 -- the parts of one run
    reader: ActivationReader,
    collector: Collector,
    info: EngineInfo,
    pieces: Sequence[Piece],
    *,
    n_answer: int,
    state: StateFile | None = None,
    progress: Progress = SILENT,
) -> Collected:
    """Read `pieces` in order; what one gives is counted once it has been read to its end.

    Args:
        reader: Reads them.
        collector: Sees what is computed meanwhile, for `reader`'s engine.
        info: Of that engine.
        pieces: What to read; those that cannot be shown are passed over, with a note.
        n_answer: Tokens of the model's own answer, at most, that a question about a picture goes on with.
        state: Where to go on from, and to keep what was done: every 20 s, and whatever ends this.
        progress: Told of the pieces.

    Raises:
        UsageError: `state` is of another run, or no piece could be shown.
        GGUFError: `state` is damaged.
        Cancelled, EngineError: The native library was stopped or failed.
        OSError: `state` cannot be written.
    """
    begun = (state.read() if state else None) or Progressed(0, ImatrixSums(), ())
    run = _Run(reader, collector, info, n_answer, begun)
    collector.collected()  # nothing that was computed before this belongs to it
    with progress.task("collecting", len(pieces) - begun.n_done, "pieces") as task:
        next_s = time.monotonic() + _SAVE_EVERY_S
        try:
            for piece in pieces[begun.n_done :]:
                run.take(piece)
                task.advance()
                if state and time.monotonic() > next_s:
                    next_s = _save(state, run.done)
        finally:  # Ctrl-C too
            if state and run.done is not begun:
                state.save(run.done)
    kinds, notes = _by_kind(run.done.notes)
    if not run.done.sums.entries:
        if state:
            state.remove()  # there is nothing in it, and other data would be refused for it
        raise UsageError(f"nothing could be shown to the model: {join_problems(notes, 3)}")
    n_all = Counter(piece.kind for piece in pieces)
    n_pieces = {str(kind): n_all[kind] - kinds[kind] for kind in n_all}
    return Collected(run.done.sums, n_pieces, notes, begun.n_done)


def _by_kind(notes: Sequence[str]) -> tuple[Counter[str], tuple[str, ...]]:
    """Count the notes by the kind of piece, their first word; give them without it."""
    split = [note.partition(" ") for note in notes]
    return Counter(kind for kind, _, _ in split), tuple(said for _, _, said in split)


def _save(state: StateFile, done: Progressed) -> float:
    """Save; give when to do so again, by the monotonic clock."""
    started_s = time.monotonic()
    state.save(done)
    ended_s = time.monotonic()
    return ended_s + max(_SAVE_EVERY_S, _LEAST_PAUSE * (ended_s - started_s))


@dataclass(slots=True)
class _Run:
    """A run of `collect` on its way; ``done`` changes as a whole, so that Ctrl-C finds it whole."""

    reader: ActivationReader
    collector: Collector
    info: EngineInfo
    n_answer: int
    done: Progressed

    def take(self, piece: Piece) -> None:
        """Read one piece and add what it gave."""
        before = self.done
        try:
            self._read(piece)
        except (MediaError, ContextFullError) as error:
            if isinstance(piece, TextChunk):
                raise
            self.collector.collected()  # half of a piece would count pictures without their question
            fault = str(error) if isinstance(error, MediaError) else f"{piece.source}: {error}"
            notes = (*before.notes, f"{piece.kind} {fault}")
            self.done = replace(before, n_done=before.n_done + 1, notes=notes)
            return
        new = self.collector.collected()
        if not new:
            raise EngineError("llama.cpp computed nothing that was seen; is this another version?")
        self.done = replace(before, n_done=before.n_done + 1, sums=before.sums.plus(new))

    def _read(self, piece: Piece) -> None:
        if isinstance(piece, TextChunk):
            self.reader.read_chunk(piece.tokens)
            return
        message = Message("user", (piece.load(self.info), piece.text))
        self.reader.read_prompt(self.info.template.parts([message]), self.n_answer)
