"""Grammars let through and refused: no less than llama.cpp refuses, and what would take it down as well."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.constraints import read_gbnf
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library
from tests.constraints.walks import fits


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[TextModel]:
    opened = TextModel(tiny_bundle.model)
    yield opened
    opened.close()


def native_complaint(model: TextModel, text: str) -> str | None:
    """What llama.cpp says against `text`; None if it takes it."""
    library().forget_complaints()
    sampler = library().llama.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
    if not sampler:
        return library().complaint()
    library().llama.llama_sampler_free(sampler)
    return None


GOOD = {
    "a text": 'root ::= "yes"',
    "nothing": "root ::= ",
    "alternatives": 'root ::= "yes" | "no"',
    "a line that goes on": 'root ::=\n  "yes" |\n  "no"\n\n# a comment\n',
    "groups over lines": 'root ::= ("a"\n | "b" # either\n)+ "."\n',
    "classes": r'root ::= [a-z] [^"\\\x00-\x1F] [\]\-\[] [a-] [-a] [^^] [é-ü]',
    "escapes": r'root ::= "\"\\\n\t\r\x41é\U0001F600\[\]\-"',
    "repetition": 'root ::= "a"* "b"+ "c"? "d"{2} "e"{2,} "f"{2,4} "g"{ 1 , 2 } ("h" "i"){0,5} .*',
    "repeated repetition": 'root ::= "a"+?',
    "rules": 'root ::= item ("," item)*\r\nitem ::= digit+ | my-name\r\ndigit ::= [0-9]\r\nmy-name ::= "x"',
    "a long text": 'root ::= "' + "x" * 5000 + '"',
    "groups 100 deep": "root ::= " + "(" * 100 + '"a"' + ")" * 100,
    "a long chain": "root ::= r0\n" + "".join(f"r{n} ::= r{n + 1}\n" for n in range(9000)) + 'r9000 ::= "a"',
    "the same, last first": 'r9000 ::= "a"\n'
    + "".join(f"r{n} ::= r{n + 1}\n" for n in reversed(range(9000)))
    + "root ::= r0",
    "alternatives by the thousand": "root ::= " + " | ".join(f'"a{n}"' for n in range(9000)),
    "2000 rules of one repetition": 'root ::= "a"{0,2000}',
}


@pytest.mark.parametrize("name", GOOD)
def test_grammars_are_let_through(name: str, model: TextModel) -> None:
    read_gbnf(GOOD[name])
    assert native_complaint(model, GOOD[name]) is None


BAD = {
    "": "no rule root",
    "# nothing": "no rule root",
    'x ::= "a"': "no rule root",
    'root ::= "a"\nx ::= yy zz': "line 2 ('yy zz'): rule 'yy' is used and not defined",
    'root ::= "(" * 3': "rule '3' is used and not defined",
    'root = "a"': "line 1 ('= \"a\"'): ::= is expected",
    'root "a"': "::= is expected",
    'root\n::= "a"': "line 1 (",
    'root ::= "a"\r\rx = "b"': "line 3 (",
    'root ::= "a"\r\nx = "b"': "line 2 (",
    'root ::= "a"\nroot ::= "b"': "line 2 ('root ::= \"b\"'): a second rule 'root'",
    'root ::= "a': "line 1 ('\"a'): is not closed",
    "root ::= [a-z\n": "line 1 ('[a-z\\n'): is not closed",
    'root ::= "a\\q"': "unknown escape",
    'root ::= "\\x4"': "unknown escape",
    "root ::= []": "no character that can be written",
    "root ::= [^]": "no character that can be written",
    "root ::= [^\\x01-\\U0010FFFF]": "no character that can be written",
    "root ::= [\\uD800-\\uDFFF]": "no character that can be written",
    'root ::= "a\\ud800"': "no character that can be written",
    'root ::= "\\x00"': "no character that can be written",
    "root ::= [z-a]": "range runs backwards",
    "root ::= [\\U00110000]": "no character has such a number",
    'root ::= "a" | ("a"': "closing parenthesis is expected",
    'root ::= "a")': "(')'): cannot be read",
    "root ::=\n* ": "line 2 ('* '): nothing stands before it",
    'root ::= "a" | +': "nothing stands before it",
    'root ::= ""*': "nothing stands before it",
    'root ::= "a"{0}*': "nothing stands before it",
    'root ::= "a"{2001}': "more than 2000 repetitions",
    'root ::= "a"{0,3000}': "more than 2000 repetitions",
    'root ::= "a"{3,2}': "runs backwards",
    'root ::= "a"{-1}': "a repetition {n}, {n,} or {m,n} is expected",
    'root ::= "a"{,2}': "a repetition {n}, {n,} or {m,n} is expected",
    'root ::= "a"{٣}': "a repetition {n}, {n,} or {m,n} is expected",
    'root ::= "a"{2\n}': "a repetition {n}, {n,} or {m,n} is expected",
    'root ::= "a"{1000}{3}': "rules repeated",
    'root ::= ("a" | ("b" "c")){0,1001}': "rules repeated",
    'root ::= ("a"{40} "b"?){100}{30}': "rules repeated",
    'root ::= "a" "b"\n| "c"': "line 2 ('| \"c\"'): the name of a rule is expected",
    'root ::= "a" ::= "b"': "cannot be read",
    'root ::= "a" & "b"': "cannot be read",
    "root ::= <think>": "token elements",
    "root ::= !<[5]>": "token elements",
    'root ::= "a\0b"': "NUL",
    'root ::= "\ud800"': "surrogate",
    'root ::= root "a" | "b"': "rule 'root' refers to itself before a character is written",
    'root ::= a root "x" | "y"\na ::= b\nb ::= "" | "z"': "rule 'root' refers to itself",
    'root ::= ("a"?)*': "a repetition of what may be empty",
    'root ::= "a" root': "rule 'root' never ends",
    # more than can be followed in time or memory
    "root ::= " + '"a"? ' * 4000: "read in too many ways",
    'root ::= "[" s "]"\ns ::= "a" s "b" | "a" s "c" | "a"\n': "read in too many ways",
    "root ::= " + "(" * 101 + '"a"' + ")" * 101: "more than 100 groups",
    "root ::= " + '"a"{0,1000} ' * 21: "more than 20000 rules",
    'root ::= "' + "x" * 1_000_000 + '"': "longer than 1000000 characters",
    'root ::= "' + "x" * 1000 + '"{1001}': "more than 1000000 items",
    "root ::= [" + "x" * 1000 + "]{1000}": "more than 1000000 items",
    "root ::= [" + "x" * 10_001 + "]": "a class of more than 10000 members",
    "root ::= " + " | ".join(['"a"'] * 60_000): "more than 10000 ways",
    "root ::= r0\n"
    + "".join(f"r{n} ::= r{n + 1} | r{n + 1}\n" for n in range(60))
    + 'r60 ::= "a"': "more than 10000 ways",
    'root ::= "x" r0\n'
    + "".join(f'r{n} ::= "x" r{n + 1} r{n + 1}\n' for n in range(60))
    + 'r60 ::= "a"': "1000000 characters",
    'root ::= "a"\nw ::= ' + "| x " * 4000 + "\nx ::= [a-z]" + " [a-z]" * 30_000: "begin with other rules",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30].encode("ascii", "backslashreplace").decode())
def test_faults_are_named_with_their_line(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_gbnf(text)
    assert BAD[text] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


PIECES = [
    "root",
    "x",
    "::=",
    "\n",
    " ",
    "|",
    "(",
    ")",
    '"a"',
    '""',
    "[a-c]",
    "[^x]",
    ".",
    "*",
    "+",
    "?",
    "{2}",
    "{0,3}",
    "{1,}",
    "# c",
]


@settings(max_examples=500, deadline=None)
@example('root ::= ("a"{0,3}){2}')
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(lambda pieces: "root ::= " + "".join(pieces)))
def test_llama_cpp_reads_what_is_let_through(model: TextModel, text: str) -> None:
    try:
        read_gbnf(text)
    except UsageError:
        return
    assert native_complaint(model, text) is None


# llama.cpp lets them through: it does not come back from some, nothing comes out of others
STRICTER = ("refers to itself", "may be empty", "never ends", "too many ways", "a second rule")


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: 'x ::= "b"\nroot ::= ' + "".join(pieces))
)
def test_what_llama_cpp_reads_is_let_through(model: TextModel, text: str) -> None:
    try:
        read_gbnf(text)
    except UsageError as fault:
        if not any(known in str(fault) for known in STRICTER):
            assert native_complaint(model, text) is not None


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= "a"{2,3}', ["aa", "aaa"], ["a", "aaaa"]),
        ('root ::= "ab"{2}', ["abab"], ["abb"]),
        ('root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]),
        ('root ::= [^a-c"]', ["d", "é"], ["a", '"', "dd"]),
        ("root ::= [\\]\\-\\\\\\x41\\u00e9\\U0001F642-\\U0001F644]", ["]", "-", "\\", "A", "é", "🙃"], ["B"]),
        ("root ::= [a-]", ["a", "-"], ["b"]),
        ('root ::= . "\\t"', ["x\t", "\n\t"], ["\t"]),
        ('root ::= a |\n  b\na ::= "1"\nb ::= ""', ["1", ""], ["2"]),
        ('root ::= "a" "bc"{0} "d"?', ["a", "ad"], ["abcd", "abc"]),
        ('root ::= ("a" | "b"{2} "c"){2,}', ["abbc", "bbcbbca"], ["a", "bbc", "abb"]),
        ("root ::= [^a] [\\x00-\\x02]", ["b\x01"], ["b\x00", "\x00\x01"]),
        ('root ::= "[" root? "]"', ["[]", "[[]]"], ["[", ""]),
    ],
)
def test_the_language(grammar: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not fits(grammar, text)] == []
    assert [text for text in bad if fits(grammar, text)] == []
