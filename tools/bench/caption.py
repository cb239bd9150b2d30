"""Captions with the 2B in its true shape, against llama.cpp's programs and llama-cpp-python.

``python -m tools.bench.caption [BUNDLE [PICTURES [N,N,…]]]``, or ``make bench BENCH=caption``: so many
pictures of 384×384 px, 64 new tokens each, llama-server with each of the numbers of slots and as many
clients. Ours and the servers run in turn, twice, and the best of each counts; who takes one picture after
the other is given a quarter of them, and one round. The default is 48 pictures and 4,8,16,32 slots: more
than an hour on 4 cores.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tools.bench.contenders.captions_run import Captions
from tools.bench.conversation import N_THREADS
from tools.bench.measure import run
from tools.bench.results import Captioned
from tools.bench.runtime import need_peers, pair_to_measure

__all__ = ["main"]

_SIDE_PX, _SQUARES = 384, 12
_PICTURES, _SLOTS = 48, (4, 8, 16, 32)
_ROUNDS = 2
_SERIAL_SHARE = 4  # one picture of so many does for those whose pace does not depend on how many there are
_OURS, _CLI, _HANDLER = "captions_ours", "captions_cli", "captions_handler"
_SERVER = "captions_server"
_NAMES = {
    _OURS: "qwen3vl-edge",
    _CLI: "llama-mtmd-cli, once a picture",
    _HANDLER: "llama-cpp-python, MTMDChatHandler",
    _SERVER: "llama-server",
}
_WANTED = {_CLI: 1.8, _SERVER: 1.05, _HANDLER: 1.7}


def main(bundle: Path | None = None, n_pictures: int = _PICTURES, slots: tuple[int, ...] = _SLOTS) -> None:
    """Measure on `bundle`, or on one that is made under build/ and removed."""
    need_peers("llama-server", "llama-mtmd-cli")
    with pair_to_measure(bundle) as (pair, folder):
        pictures, some = folder / "pictures", folder / "some"
        _draw(pictures, n_pictures)
        _draw(some, -(-n_pictures // _SERIAL_SHARE))
        print(f"\ncaption: {n_pictures} pictures, {N_THREADS} threads")
        _compare(
            Captions(pair.model, pair.projector, pictures, 0),
            Captions(pair.model, pair.projector, some, 0),
            slots,
        )


def _compare(captions: Captions, some: Captions, slots: tuple[int, ...]) -> None:
    mine, served = [], []
    for _ in range(_ROUNDS):
        mine.append(_measure(_OURS, captions, 0))
        served += [_measure(_SERVER, captions, number) for number in slots]
    ours = _best(mine)
    _tell_shares(ours)
    theirs = {name: _measure(name, some, 1) for name in (_CLI, _HANDLER)}
    for name, told in {**theirs, _SERVER: _best(served)}.items():
        ratio = ours.per_minute / told.per_minute
        print(f"  ours / {_NAMES[name]}: {ratio:.2f} (wanted: {_WANTED[name]})")


def _best(told: list[Captioned]) -> Captioned:
    return max(told, key=lambda one: one.per_minute)


def _measure(module: str, captions: Captions, n_parallel: int) -> Captioned:
    result = captions.folder.with_name(f"{module}.json")
    files = [str(captions.model), str(captions.projector), str(captions.folder)]
    command = [sys.executable, "-m", f"tools.bench.contenders.{module}", *files, str(n_parallel), str(result)]
    peak_bytes = run(command).peak_bytes
    told = Captioned.read(result)
    print(
        f"  {_NAMES[module]:36} {told.n_parallel:3} at once  {told.seconds:7.1f} s  "
        f"{told.per_minute:6.2f} images/min  {peak_bytes / 1e6:6.0f} MB",
        flush=True,
    )
    return told


def _tell_shares(told: Captioned) -> None:
    steps = {
        "encoding": told.encode_s,
        "prefilling": told.prefill_s,
        "decoding": told.decode_s,
        "choosing how many at once": told.choose_s,
    }
    waiting_s = told.seconds - sum(steps.values())
    shares = (f"{name} {s / told.seconds:.1%}" for name, s in {**steps, "waiting": waiting_s}.items())
    print(f"    of it {', '.join(shares)}")


def _draw(folder: Path, n_pictures: int) -> None:
    """Draw fields of soft colours, always the same."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(n_pictures):
        colours = np.random.default_rng(number).integers(0, 256, (_SQUARES, _SQUARES, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04}.png")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]), *map(int, sys.argv[2:3]), *map(_numbers, sys.argv[3:4]))
