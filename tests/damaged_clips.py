"""Clips as they come out of accidents: seeded truncations, flipped bits, wrong names."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.limits import VideoLimits
from qwen3vl_edge.video import load_clip
from qwen3vl_edge.video.facts import clip_facts
from qwen3vl_edge.video.whole import decode_all

__all__ = ["CODECS", "write_animation", "write_damaged", "write_film"]

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80", ".mkv": "VP90", ".mov": "mp4v", ".m4v": "mp4v"}
ANIMATIONS = (".gif", ".webp", ".png")
_LIMITS = VideoLimits(max_frames=24)


def write_film(path: Path, n_frames: int, fps: float = 8.0, size: tuple[int, int] = (96, 64)) -> Path:
    """Write a real file whose frames get brighter by 5 levels each, 40 times over."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix]), fps, size)
    assert writer.isOpened()
    for index in range(n_frames):
        writer.write(np.full((size[1], size[0], 3), 5 * (index % 40) + 10, np.uint8))
    writer.release()
    return path


def write_animation(path: Path, durations_ms: list[int], size: tuple[int, int] = (96, 64)) -> Path:
    """Write an animated picture whose frames get brighter by 20 levels each."""
    frames = [Image.new("RGB", size, (20 * index + 10,) * 3) for index in range(len(durations_ms))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations_ms, lossless=True)
    return path


def write_damaged(folder: Path, n_files: int, seed: int) -> list[Path]:
    """Write `n_files` damaged clips of all kinds."""
    whole = [write_film(folder / f"whole{suffix}", 50 + seed, 25.0) for suffix in CODECS]
    whole += [write_animation(folder / f"whole{suffix}", [80] * 8) for suffix in ANIMATIONS]
    suffixes = [*CODECS, *ANIMATIONS]
    random = np.random.default_rng(seed)
    made = []
    for number in range(n_files):
        source = whole[number % len(whole)]
        suffix = source.suffix if number % 3 else str(random.choice(suffixes))
        path = folder / f"{number}{suffix}"
        path.write_bytes(_damaged(source.read_bytes(), number, random))
        made.append(path)
    return made


def _damaged(data: bytes, kind: int, random: np.random.Generator) -> bytes:
    """Cut the end off, or the beginning, or turn bits over; sometimes nothing: its name is wrong then."""
    changed = bytearray(data)
    match kind % 5:
        case 0:
            del changed[int(random.integers(len(changed))) :]
        case 1:
            del changed[: int(random.integers(len(changed) // 2))]
        case 2 | 3:
            reach = len(changed) if kind % 5 == 2 else min(len(changed), 2048)  # headers matter most
            for place in random.integers(reach, size=int(random.integers(1, 60))):
                changed[place] ^= 1 << int(random.integers(8))
            if len(changed) > 3000 and random.random() < 0.5:
                for place in random.integers(len(changed) - 1500, len(changed), size=8):
                    changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _tried(paths: list[Path]) -> Iterator[dict[str, object]]:
    for path in paths:
        started = time.monotonic()
        n_pairs, error, kind = 0, "", ""
        try:
            clip = load_clip(path, _LIMITS)
            n_pairs = sum(len(moment.frames) == 2 for moment in clip.moments)
            clip_facts(path)
            decode_all(path)
        except EdgeError as failure:
            error = str(failure)
        except Exception as failure:  # any other is what the test looks for
            error, kind = str(failure), type(failure).__name__
        yield {
            "name": path.name,
            "pairs": n_pairs,
            "error": error,
            "bug": kind,
            "seconds": time.monotonic() - started,
        }


if __name__ == "__main__":  # in a process of its own: a native crash must fail a test, not end all of them
    for report in _tried([Path(name) for name in sys.argv[1:]]):
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
