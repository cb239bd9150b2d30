import json

import pytest

from qwen3vl_edge.constraints import from_schema, short_form
from qwen3vl_edge.errors import UsageError

STR, INT = {"type": "string"}, {"type": "integer"}


def fields(text: str) -> object:
    return short_form(text)["properties"]


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("name", {"name": STR}),
        ("name, count int, tags[]", {"name": STR, "count": INT, "tags": {"type": "array", "items": STR}}),
        ("a str,b float , c bool", {"a": STR, "b": {"type": "number"}, "c": {"type": "boolean"}}),
        ("scores int[]", {"scores": {"type": "array", "items": INT}}),
        ("scores[] int", {"scores": {"type": "array", "items": INT}}),
        ("day date", {"day": {"type": "string", "format": "date"}}),
        ("color red|green|blue", {"color": {"type": "string", "enum": ["red", "green", "blue"]}}),
        ("n int?", {"n": {"type": ["integer", "null"]}}),
        ("n?", {"n": {"type": ["string", "null"]}}),
        ("c a|b?", {"c": {"type": ["string", "null"], "enum": ["a", "b", None]}}),
        ("t[]?", {"t": {"type": ["array", "null"], "items": STR}}),
        (
            "bio: a short one, n int: how many",
            {"bio": {**STR, "description": "a short one"}, "n": {**INT, "description": "how many"}},
        ),
        (
            "a: x, y: z\nb: one, two",
            {"a": {**STR, "description": "x, y: z"}, "b": {**STR, "description": "one, two"}},
        ),
        ("a int\n\n  b\n", {"a": INT, "b": STR}),
        ("größe int, 名前", {"größe": INT, "名前": STR}),
    ],
)
def test_fields(text: str, properties: object) -> None:
    assert fields(text) == properties


def test_everything_is_required_and_nothing_else_allowed() -> None:
    schema = short_form("a, b int?")
    assert schema["required"] == ["a", "b"]
    assert schema["additionalProperties"] is False
    constraint = from_schema(schema)
    constraint.check('{"a":"x","b":null}')


@pytest.mark.parametrize(
    "text", ["box{x int, y int}", "box {x int,y int}", "box{\n x int\n y int\n}", "box { x int, y int }"]
)
def test_objects(text: str) -> None:
    assert fields(text) == {"box": short_form("x int, y int")}


def test_lists_of_objects_within_objects() -> None:
    assert fields("people[]{name, pets[]{kind cat|dog}?: theirs, age int}, n int") == {
        "people": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": STR,
                    "pets": {
                        "type": ["array", "null"],
                        "items": short_form("kind cat|dog"),
                        "description": "theirs",
                    },
                    "age": INT,
                },
                "required": ["name", "pets", "age"],
                "additionalProperties": False,
            },
        },
        "n": INT,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"character 1 \(the end\): the name of a field is expected"),
        ("a,,b", r"character 3 \(',b'\): the name of a field is expected"),
        ("a,", r"character 3 \(the end\): the name"),
        ("a in", r"character 3 \('in'\): 'in' is no type; use str, int, float, bool, date or choices a\|b"),
        ("a int b", r"character 7 \('b'\): a comma, or what may stand behind a field"),
        ("a{x", r"character 4 \(the end\): a closing brace is expected"),
        ("a{}", r"character 3 \('}'\): the name"),
        ("a}", r"character 2 \('}'\): a comma"),
        ("a, a", r"character 4 \('a'\): a second field 'a'"),
        ("a[", r"character 2 \('\['\)"),
        ("a x|", r"character 5 \(the end\): a choice is expected"),
        ("a{" * 25, "more than 20 braces"),
        ("a" * 20_001, "more than the 20000 allowed"),
    ],
)
def test_faults_name_the_place(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^short schema.*{said}"):
        short_form(text)


def test_every_short_form_is_a_schema_that_can_be_held() -> None:
    text = "a, b int, c float, d bool, e date, f[], g x|y, h{i int?, j[]{k}}: text"
    grammar = from_schema(short_form(text)).grammar
    assert grammar == from_schema(json.loads(json.dumps(short_form(text)))).grammar
