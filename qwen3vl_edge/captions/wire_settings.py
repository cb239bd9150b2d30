"""`WorkerSettings` as JSON, and back."""

from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import get_args

from qwen3vl_edge.captions.prompts import Prompt
from qwen3vl_edge.captions.wire_fields import one_of, texts
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.clips import ClipOptions
from qwen3vl_edge.constraints import Constraint, Kind
from qwen3vl_edge.json_fields import Fields
from qwen3vl_edge.limits import MediaLimits
from qwen3vl_edge.runtime.context import FlashAttention
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.engine_settings import EngineSettings
from qwen3vl_edge.runtime.placement import ALL_LAYERS, Placement
from qwen3vl_edge.sampling import Sampling

__all__ = ["settings_of", "settings_to_json"]


def settings_to_json(settings: WorkerSettings) -> dict[str, object]:
    """Give `settings` with nothing in it but what JSON has, and paths.

    A constraint goes as its grammar: the check of a whole answer stays with the sender.
    """
    fields = asdict(settings)
    constraint = settings.options.constraint
    if constraint is not None:
        fields["options"]["constraint"] = {"kind": constraint.kind, "grammar": constraint.grammar}
    return fields


def settings_of(fields: Fields) -> WorkerSettings:
    """Read what `settings_to_json` gave; what is wrong is noted in `fields`.

    Raises:
        UsageError: A setting is out of range.
    """
    return WorkerSettings(
        model=Path(fields.text("model")),
        projector=Path(fields.text("projector")),
        prompts=tuple(map(_prompt, fields.sections("prompts"))),
        options=_options(fields.section("options")),
        system=_text(fields, "system"),
        engine=_engine(fields.section("engine")),
        clip_options=_clip_options(fields.section("clip_options")),
        limits=_limits(fields.section("limits")),
        n_parallel=_integer(fields, "n_parallel"),
        n_files=_integer(fields, "n_files"),
        n_readers=fields.integer("n_readers"),
        ahead_bytes=fields.integer("ahead_bytes", least=0),
    )


def _prompt(fields: Fields) -> Prompt:
    return Prompt(
        name=fields.text("name"),
        picture=fields.text("picture"),
        clip=fields.text("clip"),
        max_tokens=fields.integer("max_tokens"),
        grammar=_text(fields, "grammar"),
        structured=fields.flag("structured"),
        is_copy=fields.flag("is_copy"),
    )


def _options(fields: Fields) -> GenerateOptions:
    return GenerateOptions(
        sampling=_sampling(fields.section("sampling")),
        max_tokens=fields.integer("max_tokens"),
        n_logprobs=_integer(fields, "n_logprobs"),
        stop=texts(fields, "stop"),
        loop_guard=fields.flag("loop_guard"),
        think_budget=_integer(fields, "think_budget"),
        constraint=_constraint(fields.section("constraint")) if fields.has("constraint") else None,
        min_tokens=fields.integer("min_tokens", least=0),
        ignore_end=fields.flag("ignore_end"),
    )


def _constraint(fields: Fields) -> Constraint:
    kinds: tuple[Kind, ...] = get_args(Kind)
    return Constraint(one_of(fields, "kind", kinds), fields.text("grammar"), lambda _answer: None)


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        temperature=fields.number("temperature", most=inf),
        top_p=fields.number("top_p"),
        top_k=fields.integer("top_k", least=0),
        min_p=fields.number("min_p"),
        repetition_penalty=fields.number("repetition_penalty", most=inf),
        presence_penalty=fields.number("presence_penalty", least=-inf),
        frequency_penalty=fields.number("frequency_penalty", least=-inf),
        logit_bias=_biases(fields, "logit_bias"),
        seed=_integer(fields, "seed"),
    )


def _engine(fields: Fields) -> EngineSettings:
    flash_attentions: tuple[FlashAttention, ...] = get_args(FlashAttention)
    return EngineSettings(
        n_ctx=_integer(fields, "n_ctx"),
        n_threads=_integer(fields, "n_threads"),
        kv_type=fields.text("kv_type"),
        flash_attention=one_of(fields, "flash_attention", flash_attentions),
        placement=_placement(fields.section("placement")),
        check_memory=fields.flag("check_memory"),
        cache_ram_bytes=fields.integer("cache_ram_bytes", least=0),
        cache_folder=Path(fields.text("cache_folder")) if fields.has("cache_folder") else None,
        cache_disk_bytes=fields.integer("cache_disk_bytes", least=0),
        n_outputs=fields.integer("n_outputs"),
        n_parallel=fields.integer("n_parallel"),
    )


def _placement(fields: Fields) -> Placement:
    return Placement(
        device=fields.text("device"),
        gpu_layers=fields.integer("gpu_layers", least=ALL_LAYERS) if fields.has("gpu_layers") else None,
        projector_device=_text(fields, "projector_device"),
    )


def _clip_options(fields: Fields) -> ClipOptions:
    return ClipOptions(
        fps=_number(fields, "fps"),
        n_frames=_integer(fields, "n_frames"),
        start_s=_number(fields, "start_s"),
        end_s=_number(fields, "end_s"),
        max_tokens=_integer(fields, "max_tokens"),
        max_frame_tokens=_integer(fields, "max_frame_tokens"),
    )


def _limits(fields: Fields) -> MediaLimits:
    return MediaLimits(fields.integer("max_pixels", least=0), fields.integer("max_bytes", least=0))


def _biases(fields: Fields, key: str) -> tuple[tuple[int | str, float], ...]:
    value = fields.values.get(key)
    biases = [_bias(pair) for pair in value] if isinstance(value, list) else [None]
    if None in biases:
        fields.fault(key, "is no list of tokens and numbers")
    return tuple(bias for bias in biases if bias is not None)


def _bias(pair: object) -> tuple[int | str, float] | None:
    match pair:
        case [int() | str() as token, int() | float() as bias]:
            return token, float(bias)
    return None


def _text(fields: Fields, key: str) -> str | None:
    return fields.text(key) if fields.has(key) else None


def _integer(fields: Fields, key: str) -> int | None:
    return fields.integer(key, least=0) if fields.has(key) else None


def _number(fields: Fields, key: str) -> float | None:
    return fields.number(key, most=inf) if fields.has(key) else None
