import pytest

from qwen3vl_edge.converters.overrides import Override, apply_overrides, parse_override
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.gguf_format import Scalar, ValueType
from qwen3vl_edge.writing.gguf_header import KeyValue, array, encode_header

_BIG = 2**64 - 1

MODEL = (
    KeyValue("general.architecture", ValueType.STRING, "qwen3vl"),
    KeyValue("general.name", ValueType.STRING, "Tiny"),
    array("general.tags", ValueType.STRING, ["vision"]),
    KeyValue("qwen3vl_edge.version", ValueType.STRING, "1"),
    KeyValue("qwen3vl.block_count", ValueType.UINT32, 4),
    KeyValue("qwen3vl.context_length", ValueType.UINT32, 4096),
    KeyValue("qwen3vl.rope.freq_base", ValueType.FLOAT32, 5e6),
    KeyValue("qwen3vl.attention.layer_norm_rms_epsilon", ValueType.FLOAT32, 1e-6),
    array("tokenizer.ggml.tokens", ValueType.STRING, ["a", "b", "c"]),
    KeyValue("tokenizer.ggml.eos_token_id", ValueType.UINT32, 1),
    KeyValue("tokenizer.ggml.add_bos_token", ValueType.BOOL, False),
    KeyValue("tokenizer.chat_template", ValueType.STRING, "{{ x }}"),
)
PROJECTOR = (
    KeyValue("general.architecture", ValueType.STRING, "clip"),
    KeyValue("general.name", ValueType.STRING, "Tiny"),
    KeyValue("qwen3vl_edge.version", ValueType.STRING, "1"),
    array("clip.vision.image_mean", ValueType.FLOAT32, [0.5, 0.5, 0.5]),
    array("clip.vision.image_std", ValueType.FLOAT32, [0.5, 0.5, 0.5]),
    KeyValue("qwen3vl_edge.image.min_pixels", ValueType.UINT64, 4096),
    KeyValue("qwen3vl_edge.image.max_pixels", ValueType.UINT64, 65536),
    KeyValue("qwen3vl_edge.video.fps", ValueType.FLOAT32, 2.0),
    KeyValue("qwen3vl_edge.video.min_frames", ValueType.UINT32, 4),
    KeyValue("qwen3vl_edge.video.max_frames", ValueType.UINT32, 8),
    KeyValue("qwen3vl_edge.video.min_pixels", ValueType.UINT64, 256),
    KeyValue("qwen3vl_edge.video.max_pixels", ValueType.UINT64, 65536),
    KeyValue("clip.vision.attention.layer_norm_epsilon", ValueType.FLOAT32, 1e-6),
    KeyValue("qwen3vl_edge.i8", ValueType.INT8, -1),
)
PATCHES = {"patch_size": 20, "spatial_merge_size": 2}


def applied(*arguments: str) -> tuple[dict[str, KeyValue], dict[str, KeyValue]]:
    """Give what each file then holds beyond or unlike the entries above."""
    model, projector = apply_overrides([MODEL, PROJECTOR], [parse_override(text) for text in arguments])
    encode_header(model, [])
    encode_header(projector, [])
    return (
        {item.key: item for item in model if item not in MODEL},
        {item.key: item for item in projector if item not in PROJECTOR},
    )


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        applied(*arguments)
    message = str(caught.value)
    assert message.startswith("--set")
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    ("argument", "kind", "value"),
    [
        ("general.name=A name = with: signs, and ünï", ValueType.STRING, "A name = with: signs, and ünï"),
        ("general.name=str:int:5", ValueType.STRING, "int:5"),
        ("general.name=str:", ValueType.STRING, ""),
        ("general.license=mit", ValueType.STRING, "mit"),
        ("general.license.name=two\nlines", ValueType.STRING, "two\nlines"),
        ("general.base_model.0.name=Base", ValueType.STRING, "Base"),
        ("general.base_model.count=1", ValueType.UINT32, 1),
        ("general.sampling.temp=0.25", ValueType.FLOAT32, 0.25),
        ("general.sampling.top_k=int:40", ValueType.INT32, 40),
        ("general.sampling.penalty_last_n=-1", ValueType.INT32, -1),
        ("general.tags=a, b,ü", ValueType.STRING, ("a", "b", "ü")),
        ("general.languages=en", ValueType.STRING, ("en",)),
        ("general.licence=str:mit", ValueType.STRING, "mit"),
        ("general.colour=5", ValueType.STRING, "5"),
        ("general.note=x", ValueType.STRING, "x"),
        ("general.x=x", ValueType.STRING, "x"),
        ("general.colour=int:5", ValueType.UINT32, 5),
        ("general.colour=int:-5", ValueType.INT32, -5),
        ("general.colour=int:5000000000", ValueType.UINT64, 5_000_000_000),
        ("general.colour=int:-5000000000", ValueType.INT64, -5_000_000_000),
        ("general.colour=float:5", ValueType.FLOAT32, 5.0),
        ("general.colour=bool:TRUE", ValueType.BOOL, True),
    ],
)
def test_general_keys_go_into_every_file(argument: str, kind: ValueType, value: Scalar) -> None:
    key = argument.partition("=")[0]
    assert applied(argument) == ({key: KeyValue(key, kind, value)}, {key: KeyValue(key, kind, value)})


@pytest.mark.parametrize(
    ("argument", "in_model", "value"),
    [
        ("qwen3vl.context_length=16777216", True, 1 << 24),
        ("qwen3vl.rope.freq_base=1e6", True, 1e6),
        ("qwen3vl.rope.scaling.factor=float:2", True, 2.0),
        ("tokenizer.ggml.add_bos_token=bool:true", True, True),
        ("tokenizer.ggml.eos_token_id=2", True, 2),
        ("tokenizer.chat_template={% if true %}\n{% endif %}", True, "{% if true %}\n{% endif %}"),
        ("clip.vision.image_mean=0,0.25,1", False, (0.0, 0.25, 1.0)),
        ("clip.vision.image_min_pixels=int:1024", False, 1024),
        ("clip.vision.image_std=0.001,1,1", False, (0.001, 1.0, 1.0)),
        ("qwen3vl_edge.image.max_pixels=1099511627776", False, 1 << 40),
        ("qwen3vl_edge.image.min_pixels=1", False, 1),
        ("qwen3vl_edge.video.fps=0.01", False, 0.01),
        ("qwen3vl_edge.i8=-128", False, -128),
    ],
)
def test_other_keys_go_where_they_are_or_belong(argument: str, in_model: bool, value: Scalar) -> None:
    key = argument.partition("=")[0]
    model, projector = applied(argument)
    found = (model if in_model else projector).pop(key)
    assert (model, projector) == ({}, {})
    assert found.value == value
    assert type(found.value) is type(value)


def test_a_key_of_no_file_goes_into_all() -> None:
    assert [list(file) for file in applied("qwen3vl_edge.note=x", "mine.note=str:x")] == [
        ["qwen3vl_edge.note", "mine.note"]
    ] * 2


def test_places_are_kept_and_new_keys_come_last() -> None:
    overrides = [parse_override("general.colour=red"), parse_override("general.name=Other")]
    model, _ = apply_overrides([MODEL, PROJECTOR], overrides)
    assert [item.key for item in model] == [*(item.key for item in MODEL), "general.colour"]
    assert model[1].value == "Other"


def test_nothing_to_do_changes_nothing() -> None:
    assert apply_overrides([MODEL, PROJECTOR], []) == [MODEL, PROJECTOR]


@pytest.mark.parametrize(
    ("argument", "near"),
    [
        ("qwen3vl.contxt_length=5", "did you mean qwen3vl.context_length"),
        ("tokenizer.ggml.add_bos=true", "did you mean tokenizer.ggml.add_bos_token"),
        ("general.licence=mit", "did you mean general.license?"),
        ("general.lisence=mit", "did you mean general.license?"),
        ("general.licnse=mit", "did you mean general.license?"),
        ("general.autor=me", "did you mean general.author?"),
        ("general.tag=x", "did you mean general.tags?"),
        ("genral.license=mit", "did you mean general.license or "),
        ("general.samplng.temp=1", "did you mean general.sampling.temp"),
        ("qwen3vl_edge.video.fp=1", "did you mean qwen3vl_edge.video.fps?"),
        ("zzz.yyy=1", "is not a key of these files; new ones need int:, float:, bool: or str:"),
    ],
)
def test_a_typing_error_is_not_a_new_key(argument: str, near: str) -> None:
    assert near in refusal(argument)


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("qwen3vl.context_length=abc", "is 'abc'; an integer within 0..4294967295 is expected"),
        ("qwen3vl.context_length=-1", "0..4294967295"),
        ("qwen3vl.context_length=4294967296", "0..4294967295"),
        ("qwen3vl.context_length=1.5", "an integer"),
        ("qwen3vl.context_length=" + "9" * 5000, "an integer"),
        ("qwen3vl.context_length=float:5", "is of type int, not float; leave the type out"),
        ("qwen3vl_edge.i8=128", "-128..127"),
        (f"qwen3vl_edge.image.max_pixels={_BIG + 1}", f"0..{_BIG}"),
        ("general.sampling.top_k=2147483648", "-2147483648..2147483647"),
        ("general.sampling.temp=nan", "is 'nan'; a finite float32 is expected"),
        ("general.sampling.temp=-inf", "a finite float32"),
        ("general.sampling.temp=1e39", "a finite float32"),
        ("general.colour=int:red", "an integer"),
        ("general.name=int:5", "is of type str, not int"),
        ("general.tags=int:5", "is of type str, not int"),
        ("general.tags=a,,b", "has an empty item in 'a,,b'; write A,B,C"),
        ("tokenizer.ggml.add_bos_token=1", "true or false"),
        ("tokenizer.ggml.eos_token_id=3", "an id below 3"),
        ("clip.vision.image_mean=0.5", "holds 3 values, not 1"),
        ("clip.vision.image_mean=0,0,x", "is 'x'; a finite float32"),
    ],
)
def test_values_must_have_the_type_of_the_key(argument: str, wanted: str) -> None:
    message = refusal(argument)
    assert wanted in message
    assert argument.partition("=")[0] in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("general.sampling.temp=-0.1", "is -0.1; 0.0 to 100.0 is expected"),
        ("general.sampling.temp=101", "0.0 to 100.0"),
        ("general.sampling.top_p=0", "1e-06 to 1.0"),
        ("general.sampling.top_p=1.5", "1e-06 to 1.0"),
        ("general.sampling.top_k=-1", "0 to 2147483647"),
        ("general.sampling.min_p=2", "0.0 to 1.0"),
        ("general.sampling.penalty_repeat=0", "0.01 to 100.0"),
        ("general.sampling.penalty_last_n=-2", "-1 to 2147483647"),
        ("general.sampling.xtc_probability=-1", "0.0 to 1.0"),
        ("general.sampling.xtc_threshold=7", "0.0 to 1.0"),
        ("general.sampling.mirostat=3", "0 to 2"),
        ("general.sampling.mirostat_tau=-1", "0.0 to 100.0"),
        ("general.sampling.mirostat_eta=-1", "0.0 to 1.0"),
        ("qwen3vl.context_length=0", "1 to 16777216"),
        ("qwen3vl.context_length=16777217", "1 to 16777216"),
        ("qwen3vl.rope.freq_base=0.5", "1.0 to 1000000000000.0"),
        ("qwen3vl.attention.layer_norm_rms_epsilon=0", "1e-12 to 0.1"),
        ("qwen3vl.attention.layer_norm_rms_epsilon=1", "1e-12 to 0.1"),
        ("clip.vision.attention.layer_norm_epsilon=0", "1e-12 to 0.1"),
        ("clip.vision.image_mean=0,0,1.1", "is 1.1; 0.0 to 1.0"),
        ("clip.vision.image_mean=-0.1,0,0", "0.0 to 1.0"),
        ("clip.vision.image_std=0,1,1", "0.001 to 1.0"),
        ("qwen3vl_edge.image.min_pixels=0", "1 to 1099511627776"),
        ("qwen3vl_edge.image.max_pixels=1099511627777", "1 to 1099511627776"),
        (
            "qwen3vl_edge.image.min_pixels=65537",
            "makes the smallest value 65537 and the largest 65536; set both",
        ),
        ("qwen3vl_edge.image.max_pixels=4095", "the smallest value 4096 and the largest 4095; set both"),
        ("qwen3vl_edge.video.max_pixels=1023", "leaves 1023 pixels at most, a token has 32×32"),
        ("qwen3vl_edge.video.fps=0", "0.01 to 1000.0"),
        ("qwen3vl_edge.video.min_frames=9", "the smallest value 9 and the largest 8; set both"),
        ("qwen3vl_edge.video.max_frames=0", "1 to 1048576"),
    ],
)
def test_what_a_checkpoint_would_be_refused_for_is_refused(argument: str, wanted: str) -> None:
    message = refusal(argument)
    assert wanted in message
    assert argument.partition("=")[0] in message


def test_limits_are_set_together() -> None:
    both = ("qwen3vl_edge.image.min_pixels=100000", "qwen3vl_edge.image.max_pixels=200000")
    assert [item.value for item in applied(*both)[1].values()] == [100_000, 200_000]
    side = ("qwen3vl_edge.image.min_pixels=1", "qwen3vl_edge.image.max_pixels=1024")
    assert [item.value for item in applied(*side)[1].values()] == [1, 1024]


def test_a_token_is_as_large_as_the_file_says() -> None:
    patches = [KeyValue(f"clip.vision.{key}", ValueType.UINT32, value) for key, value in PATCHES.items()]
    argument = parse_override("qwen3vl_edge.video.max_pixels=1024")
    with pytest.raises(UsageError, match="a token has 40×40"):
        apply_overrides([MODEL, [*PROJECTOR, *patches]], [argument])
    apply_overrides([MODEL, PROJECTOR], [argument])


@pytest.mark.parametrize(
    ("key", "why"),
    [
        *(
            (f"general.{name}", "describes the file")
            for name in ("architecture", "alignment", "type", "file_type")
        ),
        ("general.quantization_version", "describes the file"),
        ("split.count", "describes the file"),
        ("split.tensors.count", "describes the file"),
        ("qwen3vl_edge.version", "describes the file"),
        *(
            (f"{arch}.{name}", "follows from the weights")
            for arch in ("qwen3vl", "qwen3vlmoe")
            for name in (
                "block_count",
                "embedding_length",
                "feed_forward_length",
                "attention.head_count",
                "attention.head_count_kv",
                "attention.key_length",
                "attention.value_length",
                "expert_count",
                "expert_used_count",
                "expert_feed_forward_length",
                "rope.dimension_sections",
                "n_deepstack_layers",
            )
        ),
        *(
            (f"tokenizer.ggml.{name}", "vocabulary")
            for name in ("model", "pre", "tokens", "token_type", "merges")
        ),
        ("clip.use_gelu", "follows from the weights"),
        ("qwen3vl_edge.vision.unpadded_feed_forward_length", "follows from the weights"),
        *(
            (f"clip.vision.{name}", "follows from the weights")
            for name in (
                "image_size",
                "patch_size",
                "block_count",
                "attention.head_count",
                "is_deepstack_layers",
            )
        ),
    ],
)
@pytest.mark.parametrize("value", ["1", "int:1"])
def test_what_the_file_and_its_tensors_fix_is_refused(key: str, why: str, value: str) -> None:
    assert why in refusal(f"{key}={value}")
    with pytest.raises(UsageError, match="cannot be set; leave it out"):
        Override(key, None, "1")


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("", "is not KEY=VALUE; an example is --set general.license=mit"),
        ("general.license", "is not KEY=VALUE"),
        ("=mit", "is not a key"),
        ("license=mit", "is not a key"),
        ("general.=mit", "is not a key"),
        ("general..x=mit", "is not a key"),
        ("general.li cense=mit", "is not a key"),
        ("general.li\x1b[31mcense=mit", "is not a key"),
        ("general.lizenz\ud800=mit", "is not a key"),
        ("general." + "x" * 200 + "=mit", "is not a key"),
        ("general.license=", "has no value; write general.license=str:"),
        ("general.sampling.top_k=int:", "has no value"),
        ("general.license=m\x00it", "control characters"),
        ("general.license=\x1b[31m", "control characters"),
        ("general.license=\ud800", "half of a surrogate pair"),
        ("general.license=" + "ü" * 32769, "65538 bytes, more than the 65536 allowed"),
    ],
)
def test_malformed_arguments(argument: str, why: str) -> None:
    message = refusal(argument)
    assert why in message
    assert len(message) < 300


def test_a_key_is_given_once() -> None:
    why = "general.license is given 2 times; give it once"
    assert why in refusal("general.license=mit", "general.name=x", "general.license=mit")
