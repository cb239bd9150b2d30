"""Numbered pictures and clips: the prompt is transformers' own with ``add_vision_id``."""

import unicodedata

import pytest

from qwen3vl_edge.prompt import ChatTemplate
from tests.parity.reference import expand, render
from tests.prompts import conversations
from tests.test_prompt import SPECIAL, TEMPLATES, as_text

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_numbered_prompts_are_the_reference_s(template: str) -> None:
    ours = ChatTemplate(TEMPLATES[template], SPECIAL)
    numbered = ""
    for name, messages in conversations().items():
        rendered = render(TEMPLATES[template], messages, add_vision_id=True)
        given = as_text(ours.parts(messages, add_vision_id=True))
        # our prompts are normalized already; the reference's tokenizer does it
        assert given == unicodedata.normalize("NFC", expand(rendered, messages)), name
        numbered += given
    assert "Picture 3: " in numbered
    assert "Video 2: " in numbered
