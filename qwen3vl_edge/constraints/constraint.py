"""What an answer has to follow: a grammar for the sampler, and a check of the answer as a whole."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from qwen3vl_edge.constraints.gbnf_text import parse_gbnf
from qwen3vl_edge.constraints.machine import Machine
from qwen3vl_edge.errors import EdgeError

__all__ = ["AnswerError", "Constraint", "Kind"]

Kind = Literal["schema", "regex", "grammar"]


class AnswerError(EdgeError):
    """An answer does not follow its constraint: it was cut off, most often."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A form that answers must have. Made by `from_schema` and its neighbours.

    Attributes:
        kind: What the user gave.
        grammar: GBNF text whose first rule is ``root``: what the sampler may write.
        fault: Returns what is wrong with an answer; None: nothing.
    """

    kind: Kind
    grammar: str
    fault: Callable[[str], str | None] = field(compare=False, repr=False)

    def check(self, answer: str) -> None:
        """Check a whole answer, by other means than the grammar.

        Raises:
            AnswerError: it does not follow the constraint.
        """
        fault = self.fault(answer)
        if fault is not None:
            raise AnswerError(
                f"the answer does not follow the {self.kind}: {fault}; if it was cut off, allow more tokens"
            )

    def follow(self) -> Machine:
        """Begin an answer: what it returns is told the text as it comes, and knows how to end it."""
        return Machine(parse_gbnf(self.grammar))
