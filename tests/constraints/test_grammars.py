from pathlib import Path
from random import Random

import pytest

from qwen3vl_edge.constraints import (
    AnswerError,
    Constraint,
    from_file_or_short,
    from_grammar,
    from_grammar_file,
    from_schema,
)
from qwen3vl_edge.errors import UsageError
from tests.constraints.walks import random_text

SUMS = """\
# sums, as deep as one likes
root ::= sum "=" [0-9]+ "\\n"?
sum  ::= term (("+" | "-")   # the sign
         term)*
term ::= [0-9]{1,3} | "(" sum ")"
"""


def test_an_answer_is_checked_against_the_grammar() -> None:
    constraint = from_grammar(SUMS)
    assert constraint.grammar == SUMS
    constraint.check("1+(23-4)=20\n")
    with pytest.raises(AnswerError, match="does not follow the grammar: character 4 does not fit"):
        constraint.check("1+1x")
    with pytest.raises(AnswerError, match="the end is missing; if it was cut off, allow more tokens"):
        constraint.check("1+(2")
    for seed in range(50):
        constraint.check(random_text(SUMS, Random(seed)))


def test_no_constraint_has_a_grammar_that_cannot_be_followed() -> None:
    with pytest.raises(UsageError, match="the schema, line 1 .*no character that can be written"):
        Constraint("schema", "root ::= [^]", lambda _: None)


def test_files(tmp_path: Path) -> None:
    grammar, schema = tmp_path / "a.gbnf", tmp_path / "s.json"
    grammar.write_text(SUMS)
    assert from_grammar_file(grammar) == from_grammar(SUMS)
    schema.write_text('{"type": "integer"}')
    assert from_file_or_short(str(schema)) == from_schema({"type": "integer"})
    assert from_file_or_short(' {"type": "integer"}') == from_schema({"type": "integer"})
    assert from_file_or_short("name").kind == "schema"
    for broken in ("{", '{"a": 1, "a": 2}', "[]", '{"minimum": NaN}'):
        schema.write_text(broken)
        with pytest.raises(UsageError, match="s.json"):
            from_file_or_short(str(schema))
    schema.write_text(" " * 1_000_001)
    with pytest.raises(UsageError, match="1000001 bytes are more than the 1000000 allowed"):
        from_file_or_short(str(schema))
    with pytest.raises(UsageError, match="missing.json: cannot be read"):
        from_file_or_short("missing.json")
    with pytest.raises(UsageError, match="not a regular file"):
        from_grammar_file(Path("/dev/null"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"n": 1', "not JSON"),
        ('{"n": "x"}', r"\$\.n breaks 'type'"),
        ('{"n": 1, "m": 2}', "breaks 'additionalProperties'"),
        ("NaN", "NaN is not JSON"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ("", "not JSON"),
    ],
)
def test_answers_that_break_the_schema_are_refused(answer: str, said: str) -> None:
    constraint = from_file_or_short("n int")
    constraint.check('{"n": 1}')
    with pytest.raises(AnswerError, match=f"does not follow the schema: .*{said}"):
        constraint.check(answer)


@pytest.mark.parametrize(
    ("form", "begun", "ending"),
    [
        ("name, count int, tags[]", "", '{"name":"","count":0,"tags":[]}'),
        ("name, count int, tags[]", '{"name": "a \\', '"","count":0,"tags":[]}'),
        ("name, count int, tags[]", '{"name": "a", "count": -', '1,"tags":[]}'),
        ("name, count int, tags[]", '{"name": "a", "count": 17, "tags": ["x", "y', '"]}'),
        ("mood happy|sad?", '{"mood": ', "null}"),
        ("day date", '{"day":"2024-02-2', '0"}'),
    ],
)
def test_the_shortest_ending(form: str, begun: str, ending: str) -> None:
    follower = from_file_or_short(form).follow()
    assert follower.take(begun)
    assert follower.ending() == ending
    assert not follower.may_end
    assert not follower.take("\x00")
