"""The chat template of a checkpoint, from whichever of its three places holds it."""

from pathlib import Path

from qwen3vl_edge.errors import CheckpointError
from qwen3vl_edge.json_fields import Fields, read_object, read_text

__all__ = ["read_template"]

_LIMIT_BYTES = 4 << 20


def read_template(folder: Path, config: Fields) -> str | None:
    """Read the template from its own file, else from `config`, which is tokenizer_config.json.

    This is the order of transformers 5. A template of the wrong kind is noted in `config`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    if (folder / "chat_template.jinja").is_file():
        return read_text(folder / "chat_template.jinja", _LIMIT_BYTES, CheckpointError)
    values = config.values
    if (folder / "chat_template.json").is_file():
        values = read_object(folder / "chat_template.json", _LIMIT_BYTES, CheckpointError)
    value = values.get("chat_template")
    if isinstance(value, list):  # several, by name
        value = next((item.get("template") for item in value if _is_default(item)), None)
    if value is not None and not isinstance(value, str):
        config.fault("chat_template", "is not a string")
        return None
    return value


def _is_default(item: object) -> bool:
    return isinstance(item, dict) and item.get("name") == "default"
