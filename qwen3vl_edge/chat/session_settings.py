"""How a saved conversation is answered: sampling, and when to stop. A form of answers is not kept."""

from dataclasses import asdict

from qwen3vl_edge.errors import UsageError
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.sampling import Sampling

__all__ = ["parse_settings", "settings_json"]

_Bias = tuple[int | str, float]
_PAIR = 2
_MOST = 100.0  # of a bias, see `Sampling`; an integer of a thousand digits would be no float


def settings_json(options: GenerateOptions) -> dict[str, object]:
    """Give the object that keeps `options`; constraint and log-probabilities are one turn's alone."""
    return {
        "sampling": asdict(options.sampling),
        "max_tokens": options.max_tokens,
        "stop": list(options.stop),
        "loop_guard": options.loop_guard,
        "think_budget": options.think_budget,
    }


def parse_settings(fields: Fields, defaults: GenerateOptions) -> GenerateOptions:
    """Read the object; what is not there is as in `defaults`, and faults are noted in `fields`."""
    sampling = (
        _sampling(fields.section("sampling"), defaults.sampling)
        if fields.has("sampling")
        else defaults.sampling
    )
    try:
        return GenerateOptions(
            sampling=sampling,
            max_tokens=fields.integer("max_tokens", defaults.max_tokens),
            stop=_texts(fields, "stop"),
            loop_guard=fields.flag("loop_guard", defaults.loop_guard),
            think_budget=_count(fields, "think_budget", defaults.think_budget),
        )
    except UsageError as error:
        fields.fault("max_tokens, stop or think_budget", f"cannot be ({error})")
        return defaults


def _sampling(fields: Fields, defaults: Sampling) -> Sampling:
    try:
        return Sampling(
            temperature=fields.number("temperature", defaults.temperature),
            top_p=fields.number("top_p", defaults.top_p),
            top_k=fields.integer("top_k", defaults.top_k, least=0),
            min_p=fields.number("min_p", defaults.min_p),
            repetition_penalty=fields.number("repetition_penalty", defaults.repetition_penalty),
            presence_penalty=fields.number("presence_penalty", defaults.presence_penalty, least=-2),
            frequency_penalty=fields.number("frequency_penalty", defaults.frequency_penalty, least=-2),
            logit_bias=_biases(fields, "logit_bias"),
            seed=_count(fields, "seed", None),
        )
    except UsageError as error:
        fields.fault("a setting", f"cannot be ({error})")
        return defaults


def _count(fields: Fields, key: str, default: int | None) -> int | None:
    return fields.integer(key, least=0) if fields.has(key) else default


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        fields.fault(key, "is no list of texts")
        return ()
    return tuple(value)


def _biases(fields: Fields, key: str) -> tuple[_Bias, ...]:
    value = fields.values.get(key, [])
    pairs = [_bias(item) for item in value] if isinstance(value, list) else [None]
    if None in pairs:
        fields.fault(key, "is no list of pairs of a token and its bias")
    return tuple(pair for pair in pairs if pair is not None)


def _bias(item: object) -> _Bias | None:
    if not isinstance(item, list) or len(item) != _PAIR:
        return None
    token, bias = item
    if isinstance(token, bool) or not isinstance(token, int | str):
        return None
    if isinstance(bias, bool) or not isinstance(bias, int | float) or not -_MOST <= bias <= _MOST:
        return None
    return token, float(bias)
