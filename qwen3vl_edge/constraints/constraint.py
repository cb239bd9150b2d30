"""What an answer has to follow: a grammar for the sampler, and a check of the answer as a whole.

Made of what users give: JSON Schema, regular expressions, GBNF; as text or as files.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qwen3vl_edge.constraints import regex
from qwen3vl_edge.constraints.dialects import Dialect, levels
from qwen3vl_edge.constraints.gbnf import to_gbnf
from qwen3vl_edge.constraints.gbnf_text import read_gbnf
from qwen3vl_edge.constraints.machine import Machine
from qwen3vl_edge.constraints.nodes import NEVER
from qwen3vl_edge.constraints.rules import Rules
from qwen3vl_edge.constraints.schema import MOST_LEVELS, schema_node
from qwen3vl_edge.constraints.short_form import short_form
from qwen3vl_edge.errors import EdgeError, UsageError
from qwen3vl_edge.json_fields import parse_object, read_object, read_text

__all__ = [
    "AnswerError",
    "Constraint",
    "Kind",
    "from_file_or_short",
    "from_grammar",
    "from_grammar_file",
    "from_regex",
    "from_schema",
]

_MOST_BYTES = 1_000_000  # of a file

Kind = Literal["schema", "regex", "grammar"]


class AnswerError(EdgeError):
    """An answer does not follow its constraint: it was cut off, most often."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A form that answers must have. Made by `from_schema` and its neighbours.

    Whoever has one has a grammar that can be followed (`read_gbnf`).

    Attributes:
        kind: What the user gave.
        grammar: GBNF text whose first rule is ``root``: what the sampler may write.
        fault: Returns what is wrong with an answer; None: nothing.

    Raises:
        UsageError: the grammar cannot be followed.
    """

    kind: Kind
    grammar: str
    fault: Callable[[str], str | None] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        self._rules()

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
        return Machine(self._rules())

    def _rules(self) -> Rules:
        return read_gbnf(self.grammar, f"the {self.kind}")


def from_schema(schema: Mapping[str, object]) -> Constraint:
    """Return the constraint to JSON values that `schema` allows.

    Answers have no members but those that the schema speaks of, and at most one space after a comma or
    a colon. The check is jsonschema's, formats included.

    Raises:
        UsageError: it is no JSON Schema, no value is valid, or a keyword cannot be held.
    """
    try:
        _check_json(schema)
        dialect = Dialect(schema)
        grammar = to_gbnf(schema_node(schema, dialect), "the schema")
    except RecursionError as failure:
        raise UsageError("the schema is nested too deeply; take some levels out") from failure
    return Constraint("schema", grammar, lambda answer: _schema_fault(answer, dialect))


def from_file_or_short(text: str) -> Constraint:
    """Return the constraint of a schema in any form that a user may type.

    Args:
        text: The name of a file (it ends in ``.json``), a schema itself (it begins with a brace), or its
            short form: ``name, count int, tags[]``.

    Raises:
        UsageError: as `from_schema`, `short_form`; or the file cannot be read, or is no JSON object.
    """
    if text.lstrip().startswith("{"):
        return from_schema(parse_object(text.encode("utf-8", "surrogatepass"), "the schema", UsageError))
    if text.endswith(".json"):
        return from_schema(read_object(Path(text), _MOST_BYTES, UsageError))
    return from_schema(short_form(text))


def from_regex(pattern: str) -> Constraint:
    """Return the constraint to texts that ``re.fullmatch(pattern, …)`` matches.

    Raises:
        UsageError: it is no regular expression of Python, nothing matches it, or it cannot be held.
    """
    try:
        root = regex.join(regex.parse(pattern, "the pattern"))
        if root == NEVER:
            raise UsageError("the pattern: matches nothing that can be written")
        grammar = to_gbnf(root, "the pattern")
    except RecursionError as failure:
        raise UsageError("the pattern is nested too deeply; take some groups out") from failure
    compiled = re.compile(pattern)
    return Constraint(
        "regex",
        grammar,
        lambda answer: None if compiled.fullmatch(answer) else f"{pattern!r:.80} does not match",
    )


def from_grammar(text: str, where: str = "the grammar") -> Constraint:
    """Return the constraint to texts that the rule ``root`` of a GBNF grammar fits.

    Args:
        text: GBNF as llama.cpp reads it, without token elements.
        where: Where it comes from, for messages.

    Raises:
        UsageError: it is no such grammar, or one that cannot be followed.
    """
    rules = read_gbnf(text, where)
    return Constraint("grammar", text, lambda answer: _grammar_fault(answer, rules))


def from_grammar_file(path: Path) -> Constraint:
    """Return the constraint of a file of GBNF text.

    Raises:
        UsageError: it cannot be read; or as `from_grammar`.
    """
    return from_grammar(read_text(path, _MOST_BYTES, UsageError), str(path))


def _check_json(schema: Mapping[str, object]) -> None:
    """Refuse what no JSON file could hold: other types, NaN, half a surrogate pair."""
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as failure:
        raise UsageError(f"the schema: not JSON ({failure})") from failure


def _schema_fault(answer: str, dialect: Dialect) -> str | None:
    try:
        value = json.loads(answer, parse_constant=_refused)
    except RecursionError:
        return "nested too deeply"
    except ValueError as failure:
        return f"not JSON ({failure})"
    return "nested too deeply" if levels(value) > MOST_LEVELS + 5 else dialect.fault(value)


def _refused(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _grammar_fault(answer: str, rules: Rules) -> str | None:
    machine = Machine(rules)
    for i, char in enumerate(answer):
        if not machine.step(char):
            return f"character {i + 1} does not fit"
    return None if machine.may_end else "the end is missing"
