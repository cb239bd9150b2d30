"""Questions about a clip to the 2B in its true shape, against llama-mtmd-cli, which shows clips its own way.

``python -m tools.bench.video [BUNDLE [SECONDS [WIDTHxHEIGHT]]]``, or ``make bench BENCH=video``. The default
is a minute of 320×192 px, of which a pair of frames is 60 tokens: about a quarter of an hour on 4 cores.
llama-mtmd-cli decodes with the programs ffmpeg and ffprobe; without them only this project is measured.
"""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

from tools import peers
from tools.bench.conversation import N_THREADS, Setting
from tools.bench.measure import run
from tools.bench.results import AboutClip
from tools.bench.runtime import pair_to_measure

__all__ = ["main"]

_SIZE_PX, _SECONDS, _FPS = (320, 192), 60.0, 30.0
_OURS, _EQUAL, _PEER = "qwen3vl-edge, default plan", "qwen3vl-edge, 4 fps", "llama-mtmd-cli, 4 fps"
_CONTENDERS = {_OURS: "ours_video", _EQUAL: "ours_video_equal", _PEER: "mtmd_video"}
_WANTED = 0.1


def main(bundle: Path | None = None, seconds: float = _SECONDS, size_px: tuple[int, int] = _SIZE_PX) -> None:
    """Measure on `bundle`, or on one that is made under build/ and removed, with a clip so long and large."""
    contenders = dict(_CONTENDERS)
    if not _has_peer():
        print(f"\nvideo: {_PEER} is left out; it needs `make peers`, and ffmpeg and ffprobe in the path")
        del contenders[_PEER]
    with pair_to_measure(bundle) as (pair, folder):
        setting = Setting(pair.model, pair.projector, folder / "clip.mkv")
        _draw_clip(setting.picture, seconds, size_px)
        width, height = size_px
        print(f"\nvideo: {seconds:g} s of {width}×{height} px, {N_THREADS} threads, one run of each")
        told = {name: _measure(name, module, setting) for name, module in contenders.items()}
        if _PEER in told:
            for name in (_OURS, _EQUAL):
                print(
                    f"  {name} / {_PEER}: {told[name].first_s / told[_PEER].first_s:.2f} to the first answer"
                )


def _measure(name: str, module: str, setting: Setting) -> AboutClip:
    result = setting.picture.with_name(f"{module}.json")
    command = [sys.executable, "-m", f"tools.bench.contenders.{module}", *setting.arguments, str(result)]
    peak_bytes = run(command).peak_bytes
    told = AboutClip.read(result)
    print(
        f"  {name:28} {told.n_frames:4} frames  {told.n_prompt:6} tokens  encode {told.encode_s:7.1f} s  "
        f"first answer {told.first_s:7.1f} s  second {told.second_s:6.2f} s  {peak_bytes / 1e6:6.0f} MB"
    )
    if name != _PEER:
        print(f"    second / first: {told.second_s / told.first_s:.3f} (wanted: {_WANTED})")
    return told


def _has_peer() -> bool:
    try:
        peers.find("llama-mtmd-cli")
    except peers.PeersError:
        return False
    return all(shutil.which(name) for name in ("ffmpeg", "ffprobe"))


def _draw_clip(path: Path, seconds: float, size_px: tuple[int, int]) -> None:
    """Draw a disc that crosses a field of colours, always the same."""
    width, height = size_px
    y, x = np.mgrid[0:height, 0:width]
    field = np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 128)], axis=-1).astype(np.uint8)
    # not MP4: llama-mtmd-cli gives ffprobe the file through a pipe, and OpenCV writes MP4's index last
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _FPS, size_px)
    n_frames = round(seconds * _FPS)
    for number in range(n_frames):
        centre = (round(width * number / n_frames), height // 2)
        writer.write(cv2.circle(field.copy(), centre, height // 8, (255, 255, 255), -1))
    writer.release()


def _size(text: str) -> tuple[int, int]:
    """Read a size like 320x192, in px."""
    width, _, height = text.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]), *map(float, sys.argv[2:3]), *map(_size, sys.argv[3:4]))
