"""The chat template of a checkpoint, from whichever of its three places holds it."""

from pathlib import Path

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.json_fields import Fields, read_object, read_text

__all__ = ["read_template"]

_LIMIT_BYTES = 1 << 20  # published ones have 5 kB


def read_template(folder: Path, config: Fields) -> str | None:
    """Read the template from its own file, else from `config`, which is tokenizer_config.json.

    This is the order of transformers 5. What is wrong with a template is noted in `config`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    where, value = _found(folder, config)
    if isinstance(value, list):  # several, by name
        value = next((item.get("template") for item in value if _is_default(item)), None)
    if value is None:
        return None
    fault = _fault(value)
    if fault is not None:
        config.problems.append(f"{where}: chat_template {fault}")
    return str(value)


def _found(folder: Path, config: Fields) -> tuple[str, object]:
    """Return where the template stands, and what stands there."""
    as_text, as_json = folder / "chat_template.jinja", folder / "chat_template.json"
    if as_text.exists():
        return str(as_text), read_text(as_text, _LIMIT_BYTES, CheckpointError)
    if as_json.exists():
        values = read_object(as_json, _LIMIT_BYTES, CheckpointError)
        return str(as_json), values.get("chat_template")
    return config.where, config.values.get("chat_template")


def _fault(value: object) -> str | None:
    if not isinstance(value, str):
        return "is not a string"
    if len(value) > _LIMIT_BYTES:
        return f"has {len(value)} characters, more than the {_LIMIT_BYTES} allowed"
    if not value.strip():
        return "is empty"
    return "holds a NUL, where llama.cpp would end it" if "\0" in value else None


def _is_default(item: object) -> bool:
    return isinstance(item, dict) and item.get("name") == "default"
