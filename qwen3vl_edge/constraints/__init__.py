"""Answers that follow a JSON Schema, a regular expression or a grammar: pure, without llama.cpp."""

from qwen3vl_edge.constraints.constraint import AnswerError, Constraint, Kind
from qwen3vl_edge.constraints.machine import Machine
from qwen3vl_edge.constraints.making import (
    from_file_or_short,
    from_grammar,
    from_grammar_file,
    from_regex,
    from_schema,
)
from qwen3vl_edge.constraints.short_form import short_form

__all__ = [
    "AnswerError",
    "Constraint",
    "Kind",
    "Machine",
    "from_file_or_short",
    "from_grammar",
    "from_grammar_file",
    "from_regex",
    "from_schema",
    "short_form",
]
