import re
from collections.abc import Iterator
from random import Random

import pytest

from qwen3vl_edge.constraints import AnswerError, from_regex
from qwen3vl_edge.errors import UsageError
from tests.constraints.walks import fits, random_text

ATOMS = (
    "a",
    "bc",
    r"\d",
    r"\w",
    r"\s",
    r"\D",
    r"\W",
    r"\S",
    ".",
    "[a-f]",
    "[^a-f]",
    r"[\d_-]",
    r"[^\w\s]",
    r"\.",
)
ATOMS += (
    "[]x]",
    "[^]]",
    "[^\\W\\d]",
    "é",
    "[à-ü]",
    r"\u65e5",
    r"\n",
    "(?:)",
    '"',
    r"\\",
    "{",
    "[a\\-z]",
    "-",
)
TIMES = ("", "", "", "*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "*?", "+?", "??", "{1,2}?")


def random_pattern(rng: Random, depth: int = 2) -> str:
    options = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        parts = []
        for _ in range(rng.randint(0, 4)):
            group = depth > 0 and rng.random() < 0.3
            opening = rng.choice(("(", "(?:", f"(?P<n{rng.randrange(10**9)}>")) if group else ""
            atom = f"{opening}{random_pattern(rng, depth - 1)})" if group else rng.choice(ATOMS)
            parts.append(f"(?:{atom})" if len(atom) == 2 and atom == "bc" else atom)
            parts.append(rng.choice(TIMES))
        options.append("".join(parts))
    return "|".join(options)


def random_grammars() -> Iterator[tuple[Random, str, str]]:
    """Patterns and their grammars; the few patterns that are too ambiguous to be followed are left out."""
    n_refused = 0
    for seed in range(120):
        rng = Random(seed)
        pattern = random_pattern(rng)
        try:
            yield rng, pattern, from_regex(pattern).grammar
        except UsageError as fault:
            assert "read in too many ways" in str(fault), pattern
            n_refused += 1
    assert n_refused < 6


def test_whatever_the_grammar_fits_the_expression_matches() -> None:
    for rng, pattern, grammar in random_grammars():
        for _ in range(5):
            text = random_text(grammar, rng)
            assert re.fullmatch(pattern, text), (pattern, text)


def test_texts_that_an_ascii_expression_matches_fit_the_grammar() -> None:
    for rng, pattern, grammar in random_grammars():
        for _ in range(20):
            text = "".join(rng.choices('abcdef019 _-.x]"\\{\n', k=rng.randint(0, 6)))
            matched = re.fullmatch(pattern, text) is not None
            assert fits(grammar, text) is matched, (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "grammar"),
    [
        (r"^\d{3}-[a-z]+$", 'root ::= [0-9]{3} "-" [a-z]+\n'),
        ("yes|no", 'root ::= "yes" | "no"\n'),
        ("(a|b*)*x?", 'root ::= part* "x"?\npart ::= "a" | "b"+\n'),
        ("(?:ab){2,3}", 'root ::= "ab"{2,3}\n'),
        (r"[\]^\-]", "root ::= [\\-\\]\\x5E]\n"),
        ("é\\t", 'root ::= "é\\t"\n'),
        ("a{4500}", 'root ::= "a"{2000} "a"{2000} "a"{500}\n'),
    ],
)
def test_grammars(pattern: str, grammar: str) -> None:
    assert from_regex(pattern).grammar == grammar


@pytest.mark.parametrize("count", [0, 1, 1999, 2000, 2001, 4000, 4500, 4501])
def test_long_repetitions_are_counted_right(count: int) -> None:
    grammar = from_regex("a{1,4500}").grammar
    assert fits(grammar, "a" * count) is (1 <= count <= 4500)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("(?=a)b", "look-ahead"),
        ("(?!a)b", "negative look-ahead"),
        ("(?<=a)b", "look-behind"),
        (r"(a)\1", "back-reference"),
        ("(?P<n>a)(?P=n)", "back-reference"),
        ("(?>a)b", "atomic group"),
        ("a++", "possessive repetition"),
        ("(a)?(?(1)b|c)", "conditional"),
        ("(?i)a", "flag"),
        (r"\bfoo", "word boundary"),
        ("a^b", "anchor"),
        ("(^a)", "anchor"),
        ("a$b", "anchor"),
        ("a{2", None),
        ("[", "not a regular expression"),
        ("a{20000}", "more than 10000 times"),
        (r"\x00", "matches nothing that can be written"),
        ("(" * 60 + ")" * 60, "groups within each other"),
        ("a" * 10_001, "characters"),
        ("a{0,9000}b{0,9000}", "too many repetitions"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(pattern: str, named: str | None) -> None:
    if named is None:
        assert fits(from_regex(pattern).grammar, pattern)
        return
    with pytest.raises(UsageError, match=named):
        from_regex(pattern)


def test_the_check_is_that_of_re() -> None:
    constraint = from_regex(r"\d+ cats?")
    constraint.check("12 cats")
    with pytest.raises(AnswerError, match=r"does not follow the regex: '.*cats\?' does not match"):
        constraint.check("12 dogs")
