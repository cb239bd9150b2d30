import json
import math

import pytest

from qwen3vl_edge.constraints import AnswerError, from_schema
from qwen3vl_edge.errors import UsageError
from tests.constraints.walks import fits

TEXT = """\
string ::= "\\"" char* "\\""
char ::= [ !#-\\[\\]-~\\xA0-\\uD7FF\\uE000-\\U0010FFFF] | "\\\\" (["/\\\\bfnrt] | "u" code)
code ::= [1-9A-CEFa-cef] [0-9A-Fa-f] [0-9A-Fa-f] [0-9A-Fa-f] | [Dd] [0-7] [0-9A-Fa-f] [0-9A-Fa-f] \
| "0" [1-9A-Fa-f] [0-9A-Fa-f] [0-9A-Fa-f] | "00" [1-9A-Fa-f] [0-9A-Fa-f] | "000" [1-9A-Fa-f]
"""
A, B = {"const": "a"}, {"const": "b"}
PAIR = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}


def tagged(tag: dict[str, object], **more: object) -> dict[str, object]:
    return {"type": "object", "properties": {"tag": tag, **more}, "required": ["tag", *more]}


@pytest.mark.parametrize(
    ("schema", "grammar"),
    [
        ({"type": "boolean"}, 'root ::= "true" | "false"\n'),
        ({"enum": ["red", "green", "grey", 1]}, 'root ::= "\\"" ("gre" ("en" | "y") | "red") "\\"" | "1"\n'),
        ({"type": "string"}, 'root ::= "\\"" char* "\\""\n' + TEXT.partition("\n")[2]),
        (
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "n": {"enum": [1]}},
                "required": ["name"],
            },
            'root ::= "{" name rest "}"\nrest ::= part?\npart ::= "," " "? n\nn ::= "\\"n\\":" " "? "1"\n'
            'name ::= "\\"name\\":" " "? string\n' + TEXT,
        ),
        (
            {"type": "array", "items": {"enum": ["x"]}, "maxItems": 3},
            'root ::= "[" part-2? "]"\npart-2 ::= "\\"x\\"" part{0,2}\npart ::= "," " "? "\\"x\\""\n',
        ),
        ({"type": "object", "properties": {}}, 'root ::= "{}"\n'),
        ({"type": "integer", "minimum": 8, "maximum": 12}, 'root ::= [89] | "1" [0-2]\n'),
    ],
)
def test_grammars(schema: dict[str, object], grammar: str) -> None:
    assert from_schema(schema).grammar == grammar


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        # objects
        (
            PAIR,
            ["{}", '{"x":1}', '{"y": 2}', '{"x": 1, "y":2}'],
            ['{"y":2,"x":1}', '{"z":1}', '{"x":1,}', "{ }"],
        ),
        ({"required": ["a"]}, ['{"a":null}', '{"a":[{"b":1}]}'], ["{}", '{"b":1}', "1"]),
        ({"type": "object"}, ["{}", '{"k": [1]}'], ["[]"]),
        ({**PAIR, "minProperties": 1, "maxProperties": 1}, ['{"x":1}', '{"y":1}'], ["{}", '{"x":1,"y":1}']),
        ({"properties": {"a": False, "b": True}}, ["{}", '{"b":1}'], ['{"a":1}']),
        (
            {"properties": {"ab": A}, "additionalProperties": {"type": "integer"}, "maxProperties": 2},
            ["{}", '{"a":1}', '{"abc":1,"":2}', '{"ab":"a","b":2}'],
            ['{"ab":1}', '{"\\u0061b":1}', '{"b":"a"}', '{"a":1,"b":2,"c":3}'],
        ),
        # arrays
        (
            {"prefixItems": [A], "items": B, "minItems": 1},
            ['["a"]', '["a", "b","b"]'],
            ["[]", '["b"]', '["a","a"]'],
        ),
        ({"prefixItems": [A, B], "items": False}, ["[]", '["a"]', '["a","b"]'], ['["a","b","b"]']),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        # strings
        (
            {"minLength": 2, "maxLength": 2},
            ['"ab"', '"\\n\\""', '"日本"', '"\\u00e9x"'],
            ['"a"', '"abc"', '"a\n"'],
        ),
        ({"pattern": "^a"}, ['"a"', '"abc"'], ['"ba"']),
        ({"pattern": "^[a-z]+$", "maxLength": 3}, ['"a"', '"abc"'], ['"abcd"', '""']),
        (
            {"pattern": "^a+b{2}$", "minLength": 4, "maxLength": 5},
            ['"aabb"', '"aaabb"'],
            ['"abb"', '"aaaabb"'],
        ),
        (
            {"type": "string", "format": "date"},
            ['"2024-02-29"'],
            ['"2023-02-29"', '"2024-13-01"', '"0000-01-01"'],
        ),
        ({"type": "string", "format": "email"}, ['"a.b@c.org"'], ['"a"', '"a@b"', '"a b@c.org"']),
        ({"type": "integer", "format": "int64"}, ["1"], ['"1"']),
        # combinations
        ({"type": ["null", "boolean"]}, ["null", "true"], ["1"]),
        ({"type": "string", "nullable": True, "maxLength": 1}, ["null", '"a"'], ['"ab"']),
        ({"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 5}]}, ["3", "5"], ["2", "6", "3.5"]),
        ({"allOf": [{"enum": [1, 2, "a"]}, {"type": "integer"}]}, ["1", "2"], ['"a"']),
        ({"enum": [1, 22, 333], "not": {"const": 22}, "minimum": 5}, ["333"], ["1", "22"]),
        (
            {"type": "object", "anyOf": [{"required": ["x"]}, {"required": ["y"]}], **PAIR},
            ['{"y":1}'],
            ["{}"],
        ),
        ({"anyOf": [A, {"anyOf": [B, {"type": "null"}]}]}, ['"a"', '"b"', "null"], ['"c"']),
        (
            {"oneOf": [tagged(A, x={"enum": [1]}), tagged(B)]},
            ['{"tag":"a","x":1}', '{"tag":"b"}'],
            ['{"tag":"a"}'],
        ),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, ["1", '"a"'], ["null"]),
        (
            {"oneOf": [{"maximum": 3, "type": "integer"}, {"minimum": 4, "type": "integer"}]},
            ["3", "4"],
            ["null"],
        ),
        ({"oneOf": [{"minLength": 2}, {"maxLength": 1}]}, ['"ab"', '""'], ["1"]),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, ["1", "2"], ["3"]),
        # references
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": A}}, ['"a"'], ['"b"']),
        (
            {"properties": {"x": A, "y": {"$ref": "#/properties/x"}}, "required": ["y"]},
            ['{"y":"a"}'],
            ['{"y":"b"}'],
        ),
        (
            {"$ref": "#/$defs/n", "maximum": 3, "$defs": {"n": {"type": "integer", "minimum": 2}}},
            ["2", "3"],
            ["4"],
        ),
        (
            {"properties": {"next": {"$ref": "#"}}, "type": "object"},
            ["{}", '{"next":{}}', '{"next": {"next":{}}}', '{"next":' * 8 + "{}" + "}" * 8],
            ['{"next":1}', '{"next":' * 9 + "{}" + "}" * 9],
        ),
    ],
)
def test_examples(schema: dict[str, object], good: list[str], bad: list[str]) -> None:
    constraint = from_schema(schema)
    for text in good:
        constraint.check(text)
        assert fits(constraint.grammar, text), text
    assert [text for text in bad if fits(constraint.grammar, text)] == []


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"not": {}}}}, "#/properties/a: keyword 'not' cannot be held"),
        ({"items": {"if": A, "then": B}}, "#/items: keyword 'if'"),
        ({"patternProperties": {"a": A}}, "#: keyword 'patternProperties'"),
        ({"type": "array", "uniqueItems": True}, "keyword 'uniqueItems'"),
        ({"contains": A}, "keyword 'contains'"),
        ({"type": "integer", "multipleOf": 5}, "keyword 'multipleOf'"),
        ({"dependentRequired": {"a": ["b"]}}, "keyword 'dependentRequired'"),
        ({"unevaluatedProperties": False}, "keyword 'unevaluatedProperties'"),
        ({"anyOf": [A, {"$dynamicRef": "#x"}]}, "#/anyOf/1: keyword '\\$dynamicRef'"),
        ({"propertees": {}}, "keyword 'propertees'"),
        ({"$ref": "https://example.com/s.json"}, "reference 'https://example.com/s.json' cannot be held"),
        (
            {"properties": {"a/b": {"$ref": "#/$defs/x"}}},
            "#/properties/a~1b: reference .* leads to no schema",
        ),
        ({"$ref": "#"}, "reference '#' leads back to itself"),
        ({"anyOf": [{"$ref": "#"}, A]}, "reference '#' leads back to itself"),
        (
            {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "no answer can be valid",
        ),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "no answer can be valid"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no answer can be valid"),
        ({"type": "string", "format": "hostname"}, "format 'hostname' cannot be held; these can: date,"),
        ({"pattern": "(?=a)"}, "#: pattern: look-ahead"),
        ({"pattern": "(a|bc)*", "maxLength": 3}, "write the length into it"),
        ({"pattern": "a", "format": "date"}, "several patterns or formats at once"),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "several patterns"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#: oneOf 0 and 1 may both hold"),
        ({"oneOf": [PAIR, tagged(A)]}, "oneOf 1 and 0 may both hold|oneOf 0 and 1"),
        ({"additionalProperties": A, "minProperties": 2}, "minProperties 2 with free members"),
        ({"type": "objekt"}, "#/type: 'objekt' breaks JSON Schema's rules"),
        ({"minLength": -1}, "#/minLength: -1 breaks"),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#"},
            r"#/\$schema: .* is no draft that can be held",
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [A]}, "a list under items"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [A]}, "keyword 'prefixItems'"),
        ({"type": "string", "maxLength": 10_001}, "10000 at most"),
        ({"type": "array", "minItems": 10_001}, "10000 at most"),
        ({"anyOf": [{"const": i} for i in range(300)]}, "anyOf has more than 256"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_place(schema: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as failure:
        from_schema(schema)
    assert "\n" not in str(failure.value)


def test_a_schema_of_an_older_draft_ignores_what_stands_beside_a_reference() -> None:
    schema = {
        "$ref": "#/definitions/a",
        "maximum": 3,
        "definitions": {"a": {"type": "integer", "maximum": 5}},
    }
    assert not fits(from_schema(schema).grammar, "5")
    older = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    assert fits(from_schema(older).grammar, "5")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"const": "\ud800"}, "not JSON"),
        ({"const": math.nan}, "not JSON"),
        ({"properties": {"a": {"const": {1, 2}}}}, "not JSON"),
        ({"enum": [1], "$ref": "https://example.com/s.json"}, "cannot be followed"),
        ({"enum": [1], "$ref": "#/$defs/x"}, "cannot be followed"),
        ({"enum": [1], "$ref": "#"}, "reference '#' leads back to itself"),
        ({"enum": [1], "not": {"$ref": "#"}}, "reference '#' leads back to itself"),
        ({"enum": ["a"], "pattern": "\\p{L}"}, "#/pattern: .* breaks"),
    ],
)
def test_what_no_validator_could_use_is_refused(schema: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_schema(schema)


def test_alternatives_that_only_differ_too_deep_to_be_written_are_not_taken_for_apart() -> None:
    step = {"type": "object", "properties": {"next": {"$ref": "#/$defs/step"}}}
    other = {"type": "object", "properties": {"next": {"$ref": "#/$defs/other"}}}
    schema = {"oneOf": [{"$ref": "#/$defs/step"}, {"$ref": "#/$defs/other"}]}
    with pytest.raises(UsageError, match="oneOf 0 and 1 may both hold"):
        from_schema({**schema, "$defs": {"step": step, "other": other}})
    must = {"required": ["next"]}
    with pytest.raises(UsageError, match="oneOf 0 and 1 may both hold"):
        from_schema({**schema, "$defs": {"step": {**step, **must}, "other": {**other, **must}}})


def test_free_members_of_another_alternative_are_forbidden_where_it_says_so() -> None:
    schema = {
        "allOf": [
            {"properties": {"a": A, "b": A}},
            {"properties": {"b": True}, "additionalProperties": False},
        ]
    }
    grammar = from_schema(schema).grammar
    assert fits(grammar, '{"b":"a"}')
    assert not fits(grammar, '{"a":"a"}')


def test_shared_and_nested_parts_are_written_once() -> None:
    nested: dict[str, object] = {"type": "null"}
    for _ in range(30):
        nested = {"type": "array", "items": nested}
    assert len(from_schema(nested).grammar) < 10_000
    steps = {f"s{i}": {"properties": {n: {"$ref": f"#/$defs/s{i + 1}"} for n in "xyz"}} for i in range(30)}
    schema = {"$ref": "#/$defs/s0", "$defs": {**steps, "s30": {"type": "null"}}}
    assert len(from_schema(schema).grammar) < 20_000


def test_deep_schemas_are_held_or_refused() -> None:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(15):
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}
    assert fits(from_schema(schema).grammar, "[" * 15 + "1" + "]" * 15)
    for count in (30, 60, 400):
        for _ in range(count):
            schema = {"type": "array", "items": schema}
        with pytest.raises(UsageError, match="nested too deeply"):
            from_schema(schema)


def test_values_as_deep_as_can_be_are_checked() -> None:
    list_: dict[str, object] = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    for _ in range(6):
        list_ = {"type": "array", "items": list_}
    constraint = from_schema(list_)
    constraint.check("[" * 50 + "]" * 50)
    for depth in (100, 300, 900):
        with pytest.raises(AnswerError, match="nested too deeply"):
            constraint.check("[" * depth + "]" * depth)
    for _ in range(3):
        list_ = {"type": "array", "items": list_}
    with pytest.raises(UsageError, match="nested too deeply: [0-9]+ levels, 64 can be"):
        from_schema(list_)


def test_many_optional_members_make_a_grammar_that_grows_with_their_number() -> None:
    sizes = [
        len(from_schema({"properties": {f"p{i:03}": {"const": i} for i in range(n)}}).grammar)
        for n in (50, 100)
    ]
    assert sizes[1] < 2.2 * sizes[0]


def test_many_choices_are_few_readings() -> None:
    words = [f"{a}{b}" for a in "abcdefghij" for b in range(100)]
    grammar = from_schema({"enum": words}).grammar
    assert all(fits(grammar, json.dumps(word)) for word in words)
    assert math.log10(len(grammar)) < 5
