"""Options that belong together, as one value: a dataclass whose fields are a command's options."""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from qwen3vl_edge.cli.help_sections import in_section, without_section

__all__ = ["grouped"]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses: each field, annotated as an option, becomes one of its options.

    A command of thirty options would otherwise list them all, and so would each that shares them. A group
    that is annotated with a `Section` has its own in the help of a `SectionedCommand`.
    """
    hints = get_type_hints(command, include_extras=True)
    titles = {name: without_section(hint)[1] for name, hint in hints.items()}
    hints = {name: without_section(hint)[0] for name, hint in hints.items()}
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind) and isinstance(kind, type)}
    options = [
        option
        for parameter in signature(command).parameters.values()
        for option in _options(parameter, hints[parameter.name], groups, titles[parameter.name])
    ]

    @wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401 -- typer has checked them against the annotations
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    run.__signature__ = Signature(options)  # type: ignore[attr-defined]  # what typer asks
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _options(
    parameter: Parameter, hint: object, groups: dict[str, type], title: str | None
) -> list[Parameter]:
    kind = groups.get(parameter.name)
    if kind is None:
        return [parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY)]
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=in_section(hints[field.name], title),
        )
        for field in fields(kind)
    ]


def _default(field: "Field[Any]") -> object:
    return Parameter.empty if field.default is MISSING else field.default
