"""Answers that follow a JSON Schema, a regular expression or a grammar: pure, without llama.cpp."""

from qwen3vl_edge.constraints.constraint import (
    AnswerError,
    Constraint,
    Kind,
    from_file_or_short,
    from_grammar,
    from_grammar_file,
    from_regex,
    from_schema,
)
from qwen3vl_edge.constraints.gbnf_text import read_gbnf
from qwen3vl_edge.constraints.machine import Machine
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
    "read_gbnf",
    "short_form",
]
