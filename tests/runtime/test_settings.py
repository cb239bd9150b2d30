import dataclasses

from qwen3vl_edge.bundle import Bundle
from qwen3vl_edge.gguf_info import GGUFInfo
from qwen3vl_edge.limits import ImageLimits, VideoLimits
from qwen3vl_edge.runtime.settings import image_limits, sampling_defaults, video_limits
from qwen3vl_edge.sampling import Sampling


def test_what_the_converter_stored_is_read(tiny_bundle: Bundle) -> None:
    projector = GGUFInfo.read(tiny_bundle.projector)
    assert image_limits(projector) == ImageLimits(min_pixels=4096, max_pixels=65_536, factor=32)
    assert video_limits(projector) == VideoLimits(min_pixels=4096, max_pixels=262_144)


def test_files_of_others_get_the_family_s_limits(tiny_bundle: Bundle) -> None:
    projector = GGUFInfo.read(tiny_bundle.projector)
    theirs = {key: value for key, value in projector.metadata.items() if not key.startswith("qwen3vl_edge")}
    foreign = dataclasses.replace(projector, metadata=theirs)
    assert image_limits(foreign) == ImageLimits()
    assert video_limits(foreign) == VideoLimits()


def test_sampling_follows_the_checkpoint_and_else_the_family() -> None:
    stored = {"general.sampling.temp": "0.600000", "general.sampling.top_k": "40"}
    assert sampling_defaults(stored.get) == Sampling(temperature=0.6, top_k=40)
    assert sampling_defaults({}.get) == Sampling()
