import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl_edge.captions.presets import DEFAULT_PROMPT, JSON_SCHEMA, PRESET_NAMES, preset
from qwen3vl_edge.captions.prompts import (
    FIELDS,
    Prompt,
    PromptFields,
    check_prompts,
    check_template,
    fill,
    named_prompt,
)
from qwen3vl_edge.constraints import from_grammar, from_schema
from qwen3vl_edge.errors import UsageError

VALUES = PromptFields.of(Path("cats/tom.jpg"), existing="A cat.", tags="cat, grey", width=640, height=480)


def test_every_field_is_filled_in() -> None:
    template = "{name}|{stem}|{parent}|{existing}|{tags}|{width}x{height}"
    assert fill(template, VALUES) == "tom.jpg|tom|cats|A cat.|cat, grey|640x480"
    assert set(FIELDS) == {"name", "stem", "parent", "existing", "tags", "width", "height"}


def test_braces_are_doubled_to_stand_for_themselves() -> None:
    assert fill('Answer {{"name": "{stem}"}}', VALUES) == 'Answer {"name": "tom"}'


@given(st.text(), st.text())
def test_what_is_filled_in_is_data(name: str, existing: str) -> None:
    values = PromptFields(name, "", "", existing)
    plain = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in f"{name} of {existing}")
    assert fill("{name} of {existing}", values) == plain


def test_names_that_are_no_text_can_be_asked_about() -> None:
    fields = PromptFields.of(Path(os.fsdecode(b"caf\xe9.jpg")))
    assert fill("{stem}", fields).encode() == "caf\ufffd".encode()


def test_the_folder_of_a_bare_name_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert PromptFields.of(Path("a.jpg")).parent == tmp_path.name


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Is it {what}?", r"unknown field \{what\}; known are \{name\}, .*\{height\}"),
        ("a { b", r"a lone \{"),
        ("a } b", r"a lone \}"),
        ("{name!r}", r"a lone \{"),
        ("{0}", r"a lone \{"),
        ("{}", r"unknown field \{\}"),
        (" \n", "empty"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_in_one_line(template: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        check_template(template)
    assert "\n" not in str(caught.value)


def test_prompts_are_named_by_their_user_or_counted() -> None:
    assert named_prompt("mood=How does it feel?", 1, 9) == Prompt(
        "mood", "How does it feel?", "How does it feel?", 9
    )
    assert named_prompt("Is a = b?", 1, 9).name == "prompt"
    assert named_prompt("2+2=4, right?", 2, 9) == Prompt("prompt2", "2+2=4, right?", "2+2=4, right?", 9)
    with pytest.raises(UsageError, match="empty"):
        named_prompt("mood=", 1, 9)


def test_prompts_must_differ_in_name() -> None:
    check_prompts([preset("brief"), preset("tags")])
    with pytest.raises(UsageError, match="two prompts are named 'brief'"):
        check_prompts([preset("brief"), named_prompt("brief=Hm?", 1, 9)])
    with pytest.raises(UsageError, match="nothing to ask"):
        check_prompts([])


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_presets_can_be_asked_as_they_are(name: str) -> None:
    prompt = preset(name)
    assert prompt.name == name
    for template, what in ((prompt.picture, "image"), (prompt.clip, "video")):
        check_template(template)
        assert what in template


def test_other_presets_are_refused() -> None:
    with pytest.raises(UsageError, match="no preset 'long'; there are brief, detailed, tags, .*json"):
        preset("long")


def test_the_default_is_what_captions_always_were_asked() -> None:
    assert (DEFAULT_PROMPT.picture, DEFAULT_PROMPT.clip) == ("Describe this image.", "Describe this video.")


def test_the_json_preset_s_grammar_is_its_schema_s() -> None:
    prompt = preset("json")
    assert prompt.structured
    answer = {"caption": "A cat.", "objects": ["cat"], "text": "", "style": "photograph"}
    from_schema(JSON_SCHEMA).check(json.dumps(answer))
    from_grammar(prompt.grammar or "").check(json.dumps(answer))
