"""The true Qwen3 vocabulary, converted by us and read by llama.cpp, cuts text as tokenizers does."""

import shutil
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from tokenizers import Tokenizer

from qwen3vl_edge.converters import convert
from qwen3vl_edge.messages import Message
from qwen3vl_edge.prompt import ChatTemplate, TextPart
from qwen3vl_edge.runtime.model import TextModel
from tests.goldens import GOLDEN
from tests.parity.reference import render
from tests.tiny_checkpoint import TinyShape, write_tiny_checkpoint
from tools.oracle import TOKENIZER

pytestmark = pytest.mark.parity

SHAPE = TinyShape(vocab_size=151936)
FIRST_ADDED_ID = 151643

TEXTS = (
    "The quick brown fox: 1,234.56 → 100%\t(tabs)\r\n\r\n  two  spaces   three ",
    "def f(x):\n    return x**2  # comment\n\n\n\nif __name__ == '__main__': f(3)",
    "你好，世界！これは日本語です。한국어 문장입니다. ภาษาไทย हिन्दी",
    "Ünïcödé naïve façade Straße ﬁ ǅ Ω≈ç√ — “quotes” …",
    "Cafe\u0301 A\u030angstro\u0308m \u1100\u1161\u11a8 \u212b \u2126",
    "😀👩‍👩‍👧‍👦🇩🇪 emoji ‍ zero\u200bwidth \u00a0nbsp",
    "it's we'll I'M they'RE x'yz 's",
    '[{"bbox_2d": [120, 40, 980, 1000], "label": "red circle"}]',
    "<div class='a'>te<s>x</s>t</div> <|not_special|> <think",
    "\n", " ", "a" * 300, "    \n   \n",
)  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tokenizer, TextModel]]:
    folder = tmp_path_factory.mktemp("tokenizer")
    source = write_tiny_checkpoint(
        folder / "source", shape=SHAPE, tokenizer=False, first_added_id=FIRST_ADDED_ID
    )
    for file in TOKENIZER.iterdir():
        shutil.copy(file, source)
    bundle = convert(source, folder / "out", type="f16", projector_type="f16", name="tokenizer")
    with closing(TextModel(bundle.model)) as model:
        yield Tokenizer.from_file(str(source / "tokenizer.json")), model


def test_prompts_are_cut_into_the_reference_s_tokens(opened: tuple[Tokenizer, TextModel]) -> None:
    tokenizer, model = opened
    template = (GOLDEN / "templates/instruct.jinja").read_text(encoding="utf-8")
    ours = ChatTemplate(template, model.special_tokens)
    random = np.random.default_rng(0)
    alphabet = np.array(list("".join(TEXTS) + "éß漢 \n0123456789'-_"))
    for text in (*TEXTS, *("".join(random.choice(alphabet, 60)) for _ in range(300))):
        messages = [Message("system", ("Be brief.",)), Message("user", (text,))]
        expected = tokenizer.encode(render(template, messages), add_special_tokens=False).ids
        parts = [part for part in ours.parts(messages) if isinstance(part, TextPart)]
        given = [
            token for part in parts for token in model.tokenize(part.text, parse_special=part.parse_special)
        ]
        assert given == expected, text


def test_all_added_tokens_are_known(opened: tuple[Tokenizer, TextModel]) -> None:
    tokenizer, model = opened
    added = {token.content: token.special for token in tokenizer.get_added_tokens_decoder().values()}
    special = model.special_tokens
    # "</s>" is an ordinary entry of the vocabulary; llama.cpp takes it for a control token by its spelling
    assert {*special.control, *special.user_defined} - {"</s>"} == added.keys()
    assert not any(added[token] for token in special.user_defined)
