import dataclasses

import pytest
import typer
from typer.testing import CliRunner

from qwen3vl_edge.cli import sampling_options
from qwen3vl_edge.cli.sampling_options import SamplingWishes, parse_logit_bias, sampling, unescape
from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.sampling import Sampling

MODEL = Sampling(0.6, 0.95, 40, 0.05, 1.1, 0.5, 0.25, ((1, 2.0),), 9)


def test_without_wishes_the_model_s_defaults_hold() -> None:
    assert sampling(MODEL, SamplingWishes()) == MODEL


@pytest.mark.parametrize("field", dataclasses.fields(Sampling), ids=lambda field: field.name)
def test_each_wish_is_laid_over_its_default(field: "dataclasses.Field[object]") -> None:
    wish = (("a", 1.0),) if field.name == "logit_bias" else 0.125 if field.type is float else 3
    laid = sampling(MODEL, dataclasses.replace(SamplingWishes(), **{field.name: wish}))
    assert laid == dataclasses.replace(MODEL, **{field.name: wish}) != MODEL


def test_zero_is_a_wish() -> None:
    assert sampling(MODEL, SamplingWishes(temperature=0, top_k=0, seed=0)) == dataclasses.replace(
        MODEL, temperature=0, top_k=0, seed=0
    )


def test_a_wish_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="presence penalty"):
        sampling(MODEL, SamplingWishes(presence_penalty=3))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("27=-100", (27, -100.0)),
        ("yes=5", ("yes", 5.0)),
        (" yes=0.5", (" yes", 0.5)),
        ("==1", ("=", 1.0)),
        ("a=b=2", ("a=b", 2.0)),
        (r"\n=-1", ("\n", -1.0)),
        ("-5=1", ("-5", 1.0)),
    ],
)
def test_a_bias_is_a_token_and_a_number(item: str, expected: tuple[int | str, float]) -> None:
    assert parse_logit_bias([item]) == (expected,)


@pytest.mark.parametrize("item", ["yes", "yes=", "yes=much", "=5", "", "5"])
def test_what_is_no_bias_is_refused(item: str) -> None:
    with pytest.raises(UsageError, match="--logit-bias"):
        parse_logit_bias([item])


def test_a_bias_that_is_no_finite_number_is_refused_with_its_range() -> None:
    for item in ("yes=nan", "yes=inf", "yes=101"):
        with pytest.raises(UsageError, match="-100 to 100"):
            sampling(MODEL, SamplingWishes(logit_bias=parse_logit_bias([item])))


def test_no_bias_is_no_wish() -> None:
    assert parse_logit_bias(None) is parse_logit_bias([]) is None


def test_line_ends_can_be_written() -> None:
    assert unescape(r"\n\nUser:\t") == "\n\nUser:\t"
    assert unescape(r"\\n \alpha") == r"\n \alpha"
    assert unescape("plain") == "plain"


def test_a_command_takes_the_options() -> None:
    taken: list[object] = []
    app = typer.Typer()

    @app.command()
    def command(
        min_p: sampling_options.MinP = None,
        presence_penalty: sampling_options.PresencePenalty = None,
        frequency_penalty: sampling_options.FrequencyPenalty = None,
        repetition_penalty: sampling_options.RepetitionPenalty = None,
        logit_bias: sampling_options.LogitBias = None,
        stop: sampling_options.Stop = None,
        loop_guard: sampling_options.LoopGuard = True,
    ) -> None:
        taken[:] = [
            min_p,
            presence_penalty,
            frequency_penalty,
            repetition_penalty,
            logit_bias,
            stop,
            loop_guard,
        ]

    given = "--min-p 0.1 --presence-penalty -1 --frequency-penalty 0.5 --repetition-penalty 1.2"
    more = ["--logit-bias", "a=1", "--logit-bias", "7=-1", "--stop", "x", "--stop", r"\n", "--no-loop-guard"]
    assert CliRunner().invoke(app, [*given.split(), *more]).exit_code == 0
    assert taken == [0.1, -1.0, 0.5, 1.2, ["a=1", "7=-1"], ["x", r"\n"], False]
    assert CliRunner().invoke(app, []).exit_code == 0
    assert taken[:4] == [None] * 4
    assert not taken[4] and not taken[5] and taken[6] is True
