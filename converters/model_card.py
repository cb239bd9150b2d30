"""The YAML on top of a model card (README.md)."""

from pathlib import Path

import yaml  # type: ignore[import-untyped]

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.json_fields import read_text

__all__ = ["read_card", "texts"]

_LIMIT_BYTES = 4 << 20
# The YAML on top of a card: PyYAML takes a second or two for so much of the worst kind.
_FRONT_LIMIT = 128 << 10
_NULLS = ("", "~", "null", "Null", "NULL")  # tag:yaml.org,2002:null in YAML 1.1


def read_card(path: Path) -> dict[str, object]:
    """Read the YAML between two lines ``---`` at the top of the card; empty without card or YAML."""
    lines = read_text(path, _LIMIT_BYTES, CheckpointError).splitlines() if path.exists() else []
    if not lines or lines[0] != "---":
        return {}
    end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
    front = "\n".join(lines[1:end]).replace("\t", "  ") + "\n"  # tabs: as gguf does
    if len(front) > _FRONT_LIMIT:
        raise CheckpointError(
            f"{path}: {len(front)} characters of YAML, more than the {_FRONT_LIMIT} allowed"
        )
    try:
        card = yaml.load(front, Loader=_CardLoader)  # noqa: S506 -- it makes texts, lists and dicts
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as failure:
        raise CheckpointError(
            f"{path}: the model card cannot be read ({_yaml_fault(failure)}); correct or remove it"
        ) from failure
    return {k: v for k, v in card.items() if _says_something(v)} if isinstance(card, dict) else {}


def _yaml_fault(failure: Exception) -> str:
    if isinstance(failure, yaml.MarkedYAMLError) and failure.problem and failure.problem_mark:
        return f"line {failure.problem_mark.line + 2}: {failure.problem}"  # from 0, after the line ---
    return (str(failure).splitlines() or [type(failure).__name__])[0]


class _CardLoader(yaml.BaseLoader):  # type: ignore[misc]
    """YAML as strings, lists and mappings, whatever types and tags the card asks for.

    An alias is empty: aliases can make a small text exponentially large.
    """

    def compose_node(self, parent: object, index: object) -> object:
        if self.check_event(yaml.AliasEvent):
            self.get_event()
            return yaml.ScalarNode("", "")
        return super().compose_node(parent, index)


def _says_something(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value not in _NULLS)


def texts(value: object) -> list[str]:
    """Give a value of the card as strings: one, or those of a list; what is nested deeper is dropped."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item not in _NULLS]
