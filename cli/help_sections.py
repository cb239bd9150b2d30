"""Help of commands with many options: in sections, each under its own heading."""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from typer.core import TyperCommand
from typer.models import OptionInfo

if TYPE_CHECKING:  # typer carries click along, under a name of its own
    from typer import _click

__all__ = ["Section", "SectionedCommand", "in_section", "without_section"]

_GENERAL = "Options"


@dataclass(frozen=True, slots=True)
class Section:
    """Annotates a group of options (`option_groups.grouped`): the heading that help puts over them."""

    title: str


class SectionedCommand(TyperCommand):
    """A command whose help puts options under the headings of their groups, the others last."""

    def format_options(self, ctx: "_click.Context", formatter: "_click.HelpFormatter") -> None:
        """Write arguments and options into the help, heading by heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        general: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            title = getattr(parameter, "rich_help_panel", None)
            if parameter.param_type_name == "argument":
                sections["Arguments"].append(record)
            elif title is None:
                general.append(record)
            else:
                sections.setdefault(title, []).append(record)
        for title, records in {**sections, _GENERAL: general}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def without_section(hint: object) -> tuple[object, str | None]:
    """Give what a group's annotation is about, and the title of its section, if it has one."""
    if get_origin(hint) is not Annotated:
        return hint, None
    group, *notes = get_args(hint)
    title = next((note.title for note in notes if isinstance(note, Section)), None)
    return (hint, None) if title is None else (group, title)


def in_section(hint: object, title: str | None) -> object:
    """Give the annotation of an option with the section that help lists it in."""
    if title is None or get_origin(hint) is not Annotated:
        return hint
    kind, *notes = get_args(hint)
    moved = []
    for note in notes:
        if isinstance(note, OptionInfo):
            note = copy(note)  # noqa: PLW2901 -- other commands list the same option elsewhere
            note.rich_help_panel = title
        moved.append(note)
    return Annotated[(kind, *moved)]
