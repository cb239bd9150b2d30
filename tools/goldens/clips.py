"""Goldens of the plans of clips, from the functions of transformers and qwen-vl-utils themselves."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from transformers.image_utils import SizeDict
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_processing_utils import BaseVideoProcessor

from qwen3vl_edge.clips import ClipOptions, Footage
from tests.clip_cases import N_CASES, random_clip
from tests.goldens import GOLDEN, digest

_FACTOR, _TEMPORAL = 32, 2
_SIZE = {"shortest_edge": 4096, "longest_edge": 25_165_824}  # of the published checkpoints
_MAX_FRAME_TOKENS = 768


def main() -> None:
    """Write tests/golden/clips.json: for each seed the plan, or null where the reference refuses."""
    rows = ",\n".join(json.dumps(_plan(*random_clip(seed))) for seed in range(N_CASES))
    (GOLDEN / "clips.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def _plan(footage: Footage, options: ClipOptions) -> list[object] | None:
    """Give the number of frames, width, height, and digests of indices and stamps, shortened."""
    try:
        indices = _indices(footage, options)
        height, width = _shown_size(len(indices), footage, options)
    except ValueError:  # an empty range, or too long a shape
        return None
    stamps = Qwen3VLProcessor._calculate_timestamps(None, list(indices), footage.fps, _TEMPORAL)
    told = digest([f"{stamp:.1f}" for stamp in stamps])
    return [len(indices), width, height, digest(indices)[:8], told[:8]]


def _indices(footage: Footage, options: ClipOptions) -> list[int]:
    """Sample as transformers does, within the range of qwen-vl-utils."""
    bounds = {"video_start": options.start_s, "video_end": options.end_s}
    first, last, n_frames = _range_of_utils()(bounds, footage.n_frames, footage.fps)
    fps = None if options.n_frames else options.fps or 2
    settings = SimpleNamespace(fps=fps, num_frames=None, min_frames=4, max_frames=768)
    metadata = SimpleNamespace(total_num_frames=n_frames, fps=footage.fps)
    sampled = Qwen3VLVideoProcessor.sample_frames(settings, metadata, num_frames=options.n_frames)
    if first == 0:  # nothing is moved
        return [int(index) for index in sampled]
    moved = np.linspace(first, last, len(sampled)).round().astype(int)
    return [int(index) for index in moved]


def _shown_size(n_frames: int, footage: Footage, options: ClipOptions) -> tuple[int, int]:
    """Give what `Qwen3VLVideoProcessor.resize` asks its base class for."""
    processor = Qwen3VLVideoProcessor.__new__(Qwen3VLVideoProcessor)
    processor.max_video_tokens = options.max_frame_tokens or _MAX_FRAME_TOKENS
    longest = options.max_tokens * _TEMPORAL * _FACTOR**2 if options.max_tokens else _SIZE["longest_edge"]
    # one frame becomes a pair before it is resized
    frames = torch.empty(1, max(n_frames, _TEMPORAL), 3, footage.height, footage.width, device="meta")
    size = processor.resize(
        frames,
        SizeDict(shortest_edge=_SIZE["shortest_edge"], longest_edge=longest),
        resample=None,
        factor=_FACTOR,
        temporal_factor=_TEMPORAL,
        cap_pixels_per_frame=True,
    )
    return size.height, size.width


def _range_of_utils():  # type: ignore[no-untyped-def]  # noqa: ANN202 -- a function of a module without types
    """Give ``calculate_video_frame_range``; its module imports torchvision, but for other things."""
    for name in ("torchvision", "torchvision.io", "torchvision.transforms"):
        sys.modules.setdefault(name, ModuleType(name))
    sys.modules["torchvision"].io = sys.modules["torchvision.io"]  # type: ignore[attr-defined]
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]  # type: ignore[attr-defined]
    sys.modules["torchvision.transforms"].InterpolationMode = None  # type: ignore[attr-defined]
    from qwen_vl_utils.vision_process import calculate_video_frame_range

    return calculate_video_frame_range


def _size_only(_self: object, image: object, size: SizeDict, resample: object) -> SizeDict:
    return size


BaseVideoProcessor.resize = _size_only


if __name__ == "__main__":
    main()
