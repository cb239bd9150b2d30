"""Prompts that people ask for by name."""

from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.constraints import from_schema
from qwen3vl_edge.errors import UsageError

__all__ = ["DEFAULT_PROMPT", "JSON_SCHEMA", "PRESET_NAMES", "preset"]

DEFAULT_PROMPT = Prompt("caption", "Describe this image.", "Describe this video.")
"""What is asked where nothing is said."""

JSON_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "caption": {"type": "string", "minLength": 1},
        "objects": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 20},
        "text": {"type": "string"},
        "style": {"type": "string"},
    },
    "required": ["caption", "objects", "text", "style"],
    "additionalProperties": False,
}
"""What an answer to the preset ``json`` is: `text` is what can be read in the picture, empty for nothing."""

_JSON_ASK = (
    'Describe this {what} as JSON: "caption" (one or two sentences), "objects" (a list of what can be seen), '
    '"text" (what can be read in it, word for word, or nothing) and "style" (such as photograph, drawing, '
    "screenshot, diagram)."
)

_PRESETS = {
    "brief": Prompt(
        "brief",
        "Describe this image in one short sentence.",
        "Describe this video in one short sentence.",
        128,
    ),
    "detailed": Prompt(
        "detailed",
        "Describe this image in detail: its subject, what happens, the setting, colors, light, composition "
        "and style. Say only what can be seen.",
        "Describe this video in detail: who and what is in it, what happens in which order, the setting and "
        "the camera. Say only what can be seen.",
        1024,
    ),
    "tags": Prompt(
        "tags",
        "List tags for this image: subject, attributes, actions, setting, colors, style. Write 10 to 30 "
        "short lowercase tags, separated by commas, the most important first, and nothing else.",
        "List tags for this video: subject, attributes, actions, setting, style. Write 10 to 30 short "
        "lowercase tags, separated by commas, the most important first, and nothing else.",
        256,
    ),
    "alt-text": Prompt(
        "alt-text",
        "Write the alternative text of this image for people who cannot see it: one or two plain sentences "
        "on what matters in it, with the text that can be read in it, if any.",
        "Write the alternative text of this video for people who cannot see it: one or two plain sentences "
        "on what is shown and what happens.",
        192,
    ),
    "ocr": Prompt(
        "ocr",
        "Read the text in this image. Write it word for word, line by line, and nothing else.",
        "Read the text in this video. Write it word for word, line by line, and nothing else.",
        4096,
        is_copy=True,
    ),
}

PRESET_NAMES = (*_PRESETS, "json")
"""In the order in which help lists them."""


def preset(name: str) -> Prompt:
    """Give the prompt of that name.

    Raises:
        UsageError: There is none.
    """
    if name == "json":
        ask = {kind: _JSON_ASK.replace("{what}", kind) for kind in ("image", "video")}
        grammar = from_schema(JSON_SCHEMA).grammar
        return Prompt("json", ask["image"], ask["video"], 1024, grammar, structured=True)
    if name not in _PRESETS:
        raise UsageError(f"there is no preset {name!r:.40}; there are {', '.join(PRESET_NAMES)}")
    return _PRESETS[name]
