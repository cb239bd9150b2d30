"""The short form of a schema: ``name, count int, tags[], box{x int, y int}, mood happy|sad?: how it looks``.

::

    fields  = field {"," field}          separated by line ends instead if there are any
    field   = name ["[]"] ["{" fields "}" | type] ["[]"] ["?"] [":" description]
    type    = "str" | "int" | "float" | "bool" | "date" | word "|" word {"|" word}

The idea and ``: description`` are those of simonw/llm's concise schema syntax.
"""

import re

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["short_form"]

_TYPES: dict[str, dict[str, object]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
_WORD = re.compile(r"[^\s,:|?\[\]{}]+")
_BLANKS = re.compile(r"[ \t]*")
_ALL_BLANKS = re.compile(r"\s*")
_MOST_CHARACTERS = 20_000
_DEEPEST = 20  # braces within braces


def short_form(text: str) -> dict[str, object]:
    """Return the JSON Schema that `text` is short for: an object with all its fields required.

    Raises:
        UsageError: it is not of this form; the message says where.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"short schema: {len(text)} characters are more than the {_MOST_CHARACTERS} allowed")
    reader = _Reader(text.strip())
    schema = reader.fields(0)
    reader.expect_end()
    return schema


class _Reader:
    """Reads the text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._separator = "\n" if "\n" in text else ","

    def fields(self, depth: int) -> dict[str, object]:
        if depth > _DEEPEST:
            raise self._fault(f"more than {_DEEPEST} braces within each other")
        properties: dict[str, object] = {}
        while True:
            self._skip(_ALL_BLANKS)
            if depth and properties and self._text.startswith("}", self._at):
                break  # the last separator may be followed by nothing
            start = self._at
            name = self._word("the name of a field")
            if name in properties:
                raise self._fault(f"a second field {shown(name)}", start)
            properties[name] = self._field(depth)
            if not self._separated():
                break
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def expect_end(self) -> None:
        if self._at < len(self._text):
            raise self._fault("a comma, or what may stand behind a field, is expected")

    def _field(self, depth: int) -> dict[str, object]:
        """Read what stands behind a name."""
        lists = self._take("[]")
        schema = self._braces(depth) if self._take("{") else self._type()
        lists = self._take("[]") or lists
        if lists:
            schema = {"type": "array", "items": schema}
        if self._take("?"):
            schema = _or_null(schema)
        if self._take(":"):
            schema["description"] = self._description(self._separator + ("}" if depth else ""))
        return schema

    def _braces(self, depth: int) -> dict[str, object]:
        schema = self.fields(depth + 1)
        self._skip(_ALL_BLANKS)
        if not self._take("}"):
            raise self._fault("a closing brace is expected")
        return schema

    def _type(self) -> dict[str, object]:
        self._skip(_BLANKS)
        start = self._at
        found = _WORD.match(self._text, start)
        if found is None:
            return dict(_TYPES["str"])
        words = [self._word("a type")]
        while self._take("|"):
            words.append(self._word("a choice"))
        if len(words) > 1:
            return {"type": "string", "enum": list(dict.fromkeys(words))}
        if words[0] not in _TYPES:
            raise self._fault(f"{shown(words[0])} is no type; use {', '.join(_TYPES)} or choices a|b", start)
        return dict(_TYPES[words[0]])

    def _description(self, stops: str) -> str:
        """Read up to one of `stops`, or the end."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in stops:
            self._at += 1
        return self._text[start : self._at].strip()

    def _separated(self) -> bool:
        if self._separator == "\n" and self._take(","):
            self._take("\n")
            return self._at < len(self._text)
        return self._take(self._separator)

    def _word(self, wanted: str) -> str:
        self._skip(_BLANKS)
        found = _WORD.match(self._text, self._at)
        if found is None:
            raise self._fault(f"{wanted} is expected")
        self._at = found.end()
        return found[0]

    def _take(self, sign: str) -> bool:
        """Go past `sign` and blanks before it, if it comes next."""
        self._skip(_BLANKS)
        taken = self._text.startswith(sign, self._at)
        self._at += len(sign) if taken else 0
        return taken

    def _skip(self, blanks: re.Pattern[str]) -> None:
        found = blanks.match(self._text, self._at)
        self._at = self._at if found is None else found.end()

    def _fault(self, what: str, at: int | None = None) -> UsageError:
        position = self._at if at is None else at
        near = self._text[position : position + 20]
        return UsageError(
            f"short schema, character {position + 1} ({shown(near) if near else 'the end'}): {what}"
        )


def _or_null(schema: dict[str, object]) -> dict[str, object]:
    """Return `schema` with null allowed."""
    either: dict[str, object] = {**schema, "type": [schema["type"], "null"]}
    listed = schema.get("enum")
    if isinstance(listed, list):
        either["enum"] = [*listed, None]
    return either
