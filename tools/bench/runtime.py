"""Questions about a picture to the 2B in its true shape, against llama-cpp-python and llama.cpp's programs.

Every contender opens the same Q4_K_M and F16 files in a process of its own, with the same context and
threads, OpenMP's threads sleeping while they wait, and holds the same conversation (conversation.py).
``python -m tools.bench.runtime [BUNDLE]``, or `make bench`.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TypeVar

from qwen3vl_edge.bundle import Bundle, find_bundle
from qwen3vl_edge.runtime.threads import let_threads_sleep
from tools import peers
from tools.bench.conversation import N_CTX, N_THREADS, Setting, draw_picture
from tools.bench.measure import Measured, run
from tools.bench.report import report
from tools.bench.results import FirstAnswer, Latency, Result, Resumed, Saved, SideBySide, Turns

__all__ = ["ROOT", "main", "make_bundle", "need_peers", "pair_to_measure"]

ROOT = Path(__file__).resolve().parents[2]

_NEEDED_BYTES = 8 * 10**9
_ROUNDS = 3
_CLI = str(Path(sys.executable).parent / "qwen3vl-edge")
_OURS, _HANDLER = "qwen3vl-edge", "llama-cpp-python, MTMDChatHandler"
_SERVER, _MTMD_CLI = "llama-server", "llama-mtmd-cli"
_RESUMED = "qwen3vl-edge, a saved session"
_WANTED = {_HANDLER: 0.15, _SERVER: 1.0}

_R = TypeVar("_R", bound=Result)
_Runs = Mapping[str, list[tuple[_R, int]]]
"""By contender: what each run told, and its peak resident set in bytes."""


def main(bundle: Path | None = None) -> None:
    """Measure on `bundle`, or on one that is made under build/ and removed."""
    need_peers(_SERVER, _MTMD_CLI)
    with pair_to_measure(bundle) as (pair, folder):
        setting = Setting(pair.model, pair.projector, folder / "picture.png")
        draw_picture(setting.picture)
        print(f"\nruntime: 2B, {N_THREADS} threads, context {N_CTX}, best of {_ROUNDS}")
        _second_question(setting)
        _side_by_side(setting)
        _ten_turns(setting)
        _first_answer(setting)


def need_peers(*names: str) -> None:
    """End the program if one of llama.cpp's programs is not there."""
    try:
        for name in names:
            peers.find(name)
    except peers.PeersError as error:
        sys.exit(f"bench: {error}")


@contextmanager
def pair_to_measure(bundle: Path | None) -> Iterator[tuple[Bundle, Path]]:
    """Give `bundle`, or one that is made, and a folder of its own under build/, which goes away again."""
    let_threads_sleep()  # the contenders inherit it
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    if shutil.disk_usage(build).free < _NEEDED_BYTES:
        sys.exit(f"{build}: {_NEEDED_BYTES / 1e9:.0f} GB of disk are needed")
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as folder:
        yield find_bundle(bundle or make_bundle(Path(folder))), Path(folder)


def make_bundle(folder: Path) -> Path:
    """Convert the 2B in its true shape, with random weights, under `folder`; gives the bundle's folder."""
    source, target = folder / "Qwen3-VL-2B-Instruct", folder / "bundle"
    # in processes of their own: on Linux a child's peak memory counts from its parent's
    subprocess.run([sys.executable, "-m", "tools.bench.source", str(source)], check=True, cwd=ROOT)
    options = ["--type", "Q4_K_M", "--projector-type", "F16", "--no-verify"]
    subprocess.run([_CLI, "convert", str(source), "-o", str(target), *options], check=True)
    shutil.rmtree(source)
    return target


def _second_question(setting: Setting) -> None:
    saved, _ = _run("ours_saving", setting, Saved)
    contenders = {_OURS: "ours", _HANDLER: "handler", _SERVER: "server"}
    latencies: _Runs[Latency] = {name: [] for name in contenders}
    resumed: _Runs[Resumed] = {_RESUMED: []}
    for _ in range(_ROUNDS):
        for name, module in contenders.items():
            latencies[name].append(_run(module, setting, Latency))
        resumed[_RESUMED].append(_run("ours_resumed", setting, Resumed))
    report("runtime: first question, to the first token", _rows(latencies, lambda told: told.first_s))
    rows = _rows(latencies, lambda told: told.second_s)
    report("runtime: second question about the same picture, to the first token", rows)
    _compare(rows)
    rows = _rows(resumed, lambda told: told.second_s) | {name: rows[name] for name in _WANTED}
    report("runtime: the same, after a saved session was opened with its state", rows)
    _compare(rows)
    load_s = min(told.load_s for told, _ in resumed[_RESUMED])
    print(f"  saving {saved.save_s:.2f} s, {saved.n_bytes / 1e6:.0f} MB; opening {load_s:.2f} s")


def _side_by_side(setting: Setting) -> None:
    told, _ = _run("side_by_side", setting, SideBySide)
    print(f"\nruntime: {len(told.ours_s)} further questions, both open side by side and asked in turn")
    print(f"  median: {_OURS} {median(told.ours_s):.3f} s, {_SERVER} {median(told.theirs_s):.3f} s")
    ratio = median(own / their for own, their in zip(told.ours_s, told.theirs_s, strict=True))
    print(f"  ours / {_SERVER}, median of the pairs: {ratio:.3f} (wanted: {_WANTED[_SERVER]})")


def _ten_turns(setting: Setting) -> None:
    turns, _ = _run("ours_turns", setting, Turns)
    print(f"\nruntime: {turns.n_turns} turns")
    print(f"  tokens read in all turns {turns.prefilled}, new in all turns {turns.new} (wanted: equal)")


def _first_answer(setting: Setting) -> None:
    contenders = {_OURS: "ours_first", _MTMD_CLI: "mtmd_cli"}
    found: _Runs[FirstAnswer] = {name: [] for name in contenders}
    for _ in range(_ROUNDS):
        for name, module in contenders.items():
            found[name].append(_run(module, setting, FirstAnswer))
    print("\nruntime: stages of the first answer, the best of each")
    for name, runs in found.items():
        encode_s = min(told.encode_s for told, _ in runs)
        prefill = max(told.prefill_per_s for told, _ in runs)
        decode = max(told.decode_per_s for told, _ in runs)
        print(f"  {name:36} encode {encode_s:6.2f} s  prefill {prefill:6.1f} /s  decode {decode:6.1f} /s")


def _rows(runs: _Runs[_R], seconds: Callable[[_R], float]) -> dict[str, Measured]:
    return {
        name: Measured(min(seconds(told) for told, _ in held), max(peak for _, peak in held))
        for name, held in runs.items()
    }


def _compare(rows: Mapping[str, Measured]) -> None:
    ours = next(iter(rows.values())).seconds
    for name, wanted in _WANTED.items():
        print(f"  ours / {name}: {ours / rows[name].seconds:.3f} (wanted: {wanted})")


def _run(module: str, setting: Setting, kind: type[_R]) -> tuple[_R, int]:
    """Run a contender; on Linux the peak is the largest of its process and of those that it started."""
    result = setting.picture.with_name(f"{module}.json")
    measured = run(
        [sys.executable, "-m", f"tools.bench.contenders.{module}", *setting.arguments, str(result)]
    )
    return kind.read(result), measured.peak_bytes


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
