"""Wishes that would change nothing are refused: they hold a mistake."""

from collections.abc import Iterable, Sequence

from qwen3vl_edge.errors import UsageError, join_problems
from qwen3vl_edge.quant.imatrix import Imatrix
from qwen3vl_edge.quant.overrides import TypeOverride, unmatched
from qwen3vl_edge.quant.parts import Part, why_kept
from qwen3vl_edge.quant.recipes import Choice, SourceTensor, Wishes

__all__ = ["refuse_idle_imatrix", "refuse_idle_wishes", "refuse_unmatched"]


def refuse_unmatched(tensors: Sequence[SourceTensor], overrides: Sequence[TypeOverride]) -> None:
    """Refuse overrides that are for no tensor.

    Args:
        tensors: of all files that are quantized with these overrides.
        overrides: all of them.

    Raises:
        UsageError: every override that is found in no name, or only in names of tensors that are kept.
    """
    quantized = [name for name, shape, _ in tensors if why_kept(name, shape) is None]
    if idle := unmatched(overrides, quantized):
        example = quantized[0] if quantized else "blk.0.attn_q.weight"
        raise UsageError(f"{_listed(idle)}: found in no tensor that is quantized; names are like {example}")


def refuse_idle_wishes(choices: Iterable[Choice], wishes: Wishes) -> None:
    """Refuse wishes that decided no choice, because others go before them or there is nothing to decide.

    Args:
        choices: for all tensors of all files that are made with these wishes.
        wishes: of the user.

    Raises:
        UsageError: the first of them.
    """
    heeded = {choice.wish for choice in choices}
    if wishes.output_type is not None and Part.OUTPUT not in heeded:
        raise UsageError(
            "--output-type: decides nothing: there is no output.weight, and something else decides the type "
            "of the embedding in its place; leave it out, or give --embedding-type alone"
        )
    if wishes.embedding_type is not None and Part.TOKEN_EMBD not in heeded:
        raise UsageError("--embedding-type: decides nothing: there is no token_embd.weight; leave it out")
    if idle := [override for override in wishes.overrides if override not in heeded]:
        raise UsageError(
            f"--tensor {_listed(idle)}: decides nothing: --output-type, --embedding-type or an earlier "
            "--tensor goes before it; leave it out"
        )


def refuse_idle_imatrix(imatrix: Imatrix | None, n_used: int) -> None:
    """Refuse an importance matrix of which no file has used an entry.

    Raises:
        UsageError: with the file.
    """
    if imatrix is not None and n_used == 0:
        raise UsageError(
            f"--imatrix {imatrix.path}: changes nothing: none of its tensors is quantized; leave it out, or "
            "choose a type of blocks for them"
        )


def _listed(overrides: Iterable[TypeOverride]) -> str:
    return join_problems([repr(override.pattern.pattern) for override in overrides])
