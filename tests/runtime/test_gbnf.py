from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.runtime.gbnf import check_grammar
from qwen3vl_edge.runtime.model import TextModel
from qwen3vl_edge.runtime.native import library


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
    "more than can be counted": 'root ::= "a"{0,3000}',
    "rules": 'root ::= item ("," item)*\r\nitem ::= digit+ | my-name\r\ndigit ::= [0-9]\r\nmy-name ::= "x"',
    "a rule defined twice": 'root ::= "a"\nroot ::= "b"',
    "a long text": 'root ::= "' + "x" * 5000 + '"',
    "groups 500 deep": "root ::= " + "(" * 500 + '"a"' + ")" * 500,
    "a long chain": "root ::= r0\n" + "".join(f"r{n} ::= r{n + 1}\n" for n in range(9000)) + 'r9000 ::= "a"',
    "2000 rules of one repetition": 'root ::= "a"{0,2000}',
}


@pytest.mark.parametrize("name", GOOD)
def test_grammars_are_let_through(name: str, model: TextModel) -> None:
    check_grammar(GOOD[name])
    assert native_complaint(model, GOOD[name]) is None


BAD = {
    "": "no rule `root`",
    "# nothing": "no rule `root`",
    'x ::= "a"': "no rule `root`",
    'root ::= "a"\nx ::= yy zz': "line 2: 'yy' is not defined",
    'root = "a"': "line 1: '= ",
    'root "a"': "line 1: a rule begins with NAME ::=",
    'root\n::= "a"': "line 1: 'root' is not followed by ::=",
    'root ::= "a': "line 1: '\"a' is a text without its end",
    'root ::= "a\\q"': "unknown escape",
    'root ::= "\\x4"': "unknown escape",
    "root ::= [a-z": "a class that is empty or not closed",
    "root ::= []": "a class that is empty",
    "root ::= [^]": "a class that is empty",
    'root ::= ("a"': "ends in the middle of a rule",
    'root ::= "a")': "a ) has no (",
    "root ::=\n* ": "line 2: there is nothing to repeat",
    'root ::= "a" | +': "nothing to repeat",
    'root ::= ""*': "nothing to repeat",
    'root ::= "a"{2001}': "{2001,2001} cannot be",
    'root ::= "a"{3,2}': "{3,2} cannot be",
    'root ::= "a"{-1}': "no part of a grammar",
    'root ::= "a"{1000}{3}': "more than 2000 rules",
    'root ::= ("a" | ("b" "c")){0,1001}': "more than 2000 rules",
    'root ::= "a" "b"\n| "c"': "line 2: a rule begins with NAME ::= and not with '|'",
    'root ::= "a" ::= "b"': "::= stands in the middle",
    "root ::= <think>": "rule on tokens",
    "root ::= !<[5]>": "rule on tokens",
    'root ::= "a" & "b"': "no part of a grammar",
    'root ::= "a\0b"': "NUL",
    'root ::= "\ud800"': "surrogate",
    "root ::= " + "(" * 501 + '"a"' + ")" * 501: "more than 500 groups",
    "root ::= " + '"a"{0,1000} ' * 21: "more than 20000 rules",
    'root ::= "' + "x" * (1 << 20) + '"': "shorten it",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30].encode("ascii", "backslashreplace").decode())
def test_faults_are_named_with_their_line(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_grammar(text)
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
        check_grammar(text)
    except UsageError:
        return
    complaint = native_complaint(model, text)
    assert complaint is None or "left recursion" in complaint


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: 'x ::= "b"\nroot ::= ' + "".join(pieces))
)
def test_what_llama_cpp_reads_is_let_through(model: TextModel, text: str) -> None:
    if native_complaint(model, text) is None:
        check_grammar(text)
