from pathlib import Path
from random import Random

import pytest

from qwen3vl_edge.constraints import (
    AnswerError,
    from_file_or_short,
    from_grammar,
    from_grammar_file,
    from_schema,
)
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.gbnf import check_grammar
from tests.constraints.walks import fits, random_text

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


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= "a"{2,3}', ["aa", "aaa"], ["a", "aaaa"]),
        ('root ::= "ab"{2}', ["abab"], ["abb"]),
        ('root ::= ("a" | "b"){,2}', None, None),
        ('root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]),
        ('root ::= [^a-c"]', ["d", "é"], ["a", '"', "dd"]),
        ("root ::= [\\]\\-\\\\\\x41\\u00e9\\U0001F642-\\U0001F644]", ["]", "-", "\\", "A", "é", "🙃"], ["B"]),
        ("root ::= [a-]", ["a", "-"], ["b"]),
        ('root ::= . "\\t"', ["x\t", "\n\t"], ["\t"]),
        ('root ::= a |\n  b\na ::= "1"\nb ::= ""', ["1", ""], ["2"]),
        ('root ::= "[" root? "]"', ["[]", "[[]]"], ["[", ""]),
    ],
)
def test_the_language(grammar: str, good: list[str] | None, bad: list[str] | None) -> None:
    if good is None or bad is None:
        with pytest.raises(UsageError, match="repetition"):
            from_grammar(grammar)
        return
    check_grammar(grammar)
    assert [text for text in good if not fits(grammar, text)] == []
    assert [text for text in bad if fits(grammar, text)] == []


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ('start ::= "a"', "no rule root"),
        ("root ::= a", "rule 'a' is used and not defined"),
        ('root ::= "a', "line 1 .*the text ends too soon"),
        ('root ::= "a"\nx = "b"', r"line 2 \('= \"b\"'\): ::= is expected"),
        ('root ::= "a"\nroot ::= "b"', "line 2 .*a second rule 'root'"),
        ('root ::= ("a"', "closing parenthesis"),
        ('root ::= "a" )', "cannot be read"),
        ("root ::= *", "nothing stands before it"),
        ('root ::= "a"{3,2}', "runs backwards"),
        ('root ::= "a"{2001}', "more than 2000 repetitions"),
        ('root ::= ("a"{40} "b"?){100}{30}', "more than 2000"),
        ("root ::= [z-a]", "runs backwards"),
        ("root ::= []", "no character"),
        ("root ::= <think>", "token elements"),
        ('root ::= "\\q"', "unknown escape"),
        ('root ::= root "a" | "b"', "rule 'root' refers to itself before a character is written"),
        ('root ::= a root "x" | "y"\na ::= b\nb ::= "" | "z"', "rule 'root' refers to itself"),
        ('root ::= ("a"?)*', "a repetition of what may be empty"),
        ('root ::= "a" root', "rule 'root' never ends"),
        ('root ::= "(" * 3', "rule '3' is used and not defined"),
        ("root ::= " + "(" * 101 + '"a"' + ")" * 101, "groups within each other"),
        ("root ::= \x00", "NUL"),
        ("root ::= [\\U00110000]", "no character has such a number"),
    ],
)
def test_what_is_no_grammar_is_refused(grammar: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_grammar(grammar)


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
