"""What the vision encoder is fed, bit for bit, from files to normalised patches."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qwen3vl_edge.images import load_picture
from qwen3vl_edge.limits import ImageLimits
from tests.goldens import random_picture
from tests.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.parity


def test_patches_of_200_random_sizes_do_not_differ(tmp_path: Path) -> None:
    processor = Qwen2VLImageProcessorPil.from_pretrained(write_tiny_checkpoint(tmp_path / "checkpoint"))
    limits = ImageLimits(processor.size["shortest_edge"], processor.size["longest_edge"])
    for seed in range(200):
        image = Image.fromarray(random_picture(seed))
        image.save(tmp_path / "picture.png")
        ours = load_picture(tmp_path / "picture.png", limits).pixels
        theirs = processor(image, return_tensors="np")
        fed = processor(Image.fromarray(ours), do_resize=False, return_tensors="np")
        assert np.array_equal(fed["image_grid_thw"], theirs["image_grid_thw"]), seed
        assert np.abs(fed["pixel_values"] - theirs["pixel_values"]).max() == 0, seed
