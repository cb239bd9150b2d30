"""JSON as commands print it."""

import json
import sys

__all__ = ["json_text", "print_json"]


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json_text(value, indent=2))


def json_text(value: object, indent: int | None = None) -> str:
    """Give JSON as it is read best: escaped only where a file name is no valid text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    return text + "\n"
