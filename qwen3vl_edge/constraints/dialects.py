"""The drafts of JSON Schema that can be held, and the validator that answers are checked with."""

import re
from collections.abc import Iterator, Mapping

from jsonschema import (
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
    ValidationError,
    validators,
)
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from qwen3vl_edge.constraints.place import Schema
from qwen3vl_edge.constraints.strings import format_checker
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import shown

__all__ = ["Dialect", "levels"]

# The check of a schema makes some 16 calls a level, of 1000 that Python's stack holds; where jsonschema's
# rpds meets its end, it panics.
_MOST_LEVELS = 45

_DRAFTS: dict[str, type[Validator]] = {
    "http://json-schema.org/draft-06/schema": Draft6Validator,
    "http://json-schema.org/draft-07/schema": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}


class Dialect:
    """A schema together with the rules of its draft (2020-12 if it names none).

    Args:
        schema: The root schema.

    Raises:
        UsageError: it names another draft, or its meta-schema forbids it.
    """

    def __init__(self, schema: Mapping[str, object]) -> None:
        name = schema.get("$schema", "https://json-schema.org/draft/2020-12/schema")
        draft = _DRAFTS.get(str(name).rstrip("#"))
        if draft is None:
            raise UsageError(f"#/$schema: {shown(name)} is no draft that can be held; use 2020-12")
        # Whether keywords beside $ref count: since draft 2019-09.
        self.has_siblings = draft in (Draft201909Validator, Draft202012Validator)
        self.has_prefix_items = draft is Draft202012Validator
        self._draft = draft
        self._check(schema)
        made = validators.extend(draft, {"type": _type})
        self._validator = made(schema, registry=Registry(), format_checker=format_checker())

    def is_valid(self, value: object, schema: Schema) -> bool:
        """Whether `value` is valid under `schema`, a part of the root schema."""
        try:
            return bool(self._validator.evolve(schema=schema).is_valid(value))
        except (Unresolvable, re.error) as failure:
            raise UsageError(
                f"the schema: {shown(str(failure))} cannot be followed; take it out"
            ) from failure

    def fault(self, value: object) -> str | None:
        """Return where `value` breaks which keyword of the root schema; None: nowhere."""
        error = best_match(self._validator.iter_errors(value))
        return None if error is None else f"{error.json_path:.200} breaks {error.validator!r}"

    def _check(self, schema: Mapping[str, object]) -> None:
        if levels(schema) > _MOST_LEVELS:
            raise UsageError(f"the schema is nested too deeply: more than {_MOST_LEVELS} objects and lists")
        try:
            self._draft.check_schema(schema)
        except SchemaError as failure:
            path = "/".join(("#", *map(str, failure.absolute_path)))
            raise UsageError(
                f"{path}: {shown(failure.instance)} breaks JSON Schema's rules for {failure.validator!r}"
            ) from failure


def _type(
    validator: Validator, types: object, instance: object, schema: Mapping[str, object]
) -> Iterator[ValidationError]:
    """Check ``type``, with ``nullable`` as in OpenAPI 3.0 (Schema Object)."""
    if instance is None and schema.get("nullable") is True:
        return
    yield from Draft202012Validator.VALIDATORS["type"](validator, types, instance, schema)


def levels(value: object) -> int:
    """Return how many arrays and objects stand within each other."""
    count, layer = 0, [value]
    while layer := [one for one in layer if isinstance(one, list | dict)]:
        count += 1
        layer = [inner for one in layer for inner in (one.values() if isinstance(one, dict) else one)]
    return count
