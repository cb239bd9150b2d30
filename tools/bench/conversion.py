"""Conversion of the 2B in its true shape, against llama.cpp's converter and a plain copy.

Ours hashes what it writes and flushes it to the disk; llama.cpp's converter does neither, and needs two
runs for the two files.
"""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tools.bench import quantization
from tools.bench.measure import Command, in_turn
from tools.bench.report import report
from tools.oracle import CONVERT_SCRIPT, ROOT

__all__ = ["main"]

_NEEDED_BYTES = 20 * 10**9
_ROUNDS = 3
_CLI = str(Path(sys.executable).parent / "qwen3vl-edge")
_OURS, _TEXT, _PROJECTOR = "qwen3vl-edge convert", "convert_hf_to_gguf.py", "convert_hf_to_gguf.py --mmproj"


def main() -> None:
    """Measure in a folder under build/, which is removed."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    if shutil.disk_usage(build).free < _NEEDED_BYTES:
        sys.exit(f"{build}: {_NEEDED_BYTES / 1e9:.0f} GB of disk are needed")
    with tempfile.TemporaryDirectory(dir=build, prefix="bench-") as folder:
        source = Path(folder) / "Qwen3-VL-2B-Instruct"
        # in a process of its own: on Linux a child's peak memory counts from its parent's
        subprocess.run([sys.executable, "-m", "tools.bench.source", str(source)], check=True, cwd=ROOT)
        _against_theirs(source)
        _verified(source)
        _several_types(source)
        quantization.measure(source)


def _against_theirs(source: Path) -> None:
    ours, text, projector, copy = (source.with_name(name) for name in ("ours", "text", "projector", "copy"))
    weights = source / "model.safetensors"
    theirs = [sys.executable, str(CONVERT_SCRIPT), str(source)]
    flushed_copy = ["dd", f"if={weights}", f"of={copy / 'weights'}", "bs=16M", "conv=fsync"]
    rows = in_turn(
        {
            _OURS: _convert(source, ours, "--no-verify"),
            _TEXT: Command([*theirs, str(text), "bf16"], text),
            _PROJECTOR: Command([*theirs, str(projector), "mmproj:f16"], projector),
            "cp of the weights": Command(["cp", str(weights), str(copy / "weights")], copy),
            "the same, flushed": Command(flushed_copy, copy),
        },
        _ROUNDS,
    )
    report("convert: 2B, 4.3 GB, to BF16 and F16", rows)
    seconds = rows[_TEXT].seconds + rows[_PROJECTOR].seconds
    print(f"  ours / their two runs together: {rows[_OURS].seconds / seconds:.2f} (wanted: 0.60)")
    print(f"  our peak: {rows[_OURS].peak_bytes / 1e6:.0f} MB (wanted: 700)")
    _compare(next(ours.glob("[!m]*.gguf")), text / "model-bf16.gguf")
    _compare(next(ours.glob("mmproj-*.gguf")), projector / "mmproj-f16.gguf")
    for folder in (ours, text, projector, copy):
        shutil.rmtree(folder)


def _verified(source: Path) -> None:
    out = source.with_name("verified")
    rows = in_turn({f"{_OURS} --verify": _convert(source, out)}, _ROUNDS)
    report("convert: the same, then read again and tried (memory: the model's, in the trial)", rows)
    shutil.rmtree(out)


def _several_types(source: Path) -> None:
    one, two = "BF16 and Q8_0 in one pass", ("BF16 alone", "Q8_0 alone")
    both, bf16, q8_0 = (source.with_name(name) for name in ("both", "bf16", "q8_0"))
    rows = in_turn(
        {
            one: _convert(source, both, "--no-verify", "--type", "bf16", "--type", "Q8_0"),
            two[0]: _convert(source, bf16, "--no-verify"),
            two[1]: _convert(source, q8_0, "--no-verify", "--type", "Q8_0"),
        },
        _ROUNDS,
    )
    report("convert: two types", rows)
    ratio = rows[one].seconds / sum(rows[name].seconds for name in two)
    print(f"  one pass / two runs: {ratio:.2f}")


def _convert(source: Path, out: Path, *options: str) -> Command:
    return Command([_CLI, "convert", str(source), "-o", str(out), *options], out)


def _compare(ours: Path, theirs: Path) -> None:
    """End unless the tensors are the same, with their order; in a child, whose memory goes with it."""
    with ProcessPoolExecutor(1) as child:
        found, expected = child.map(_tensors, (ours, theirs))
    if found != expected:
        sys.exit(f"{ours.name}: the tensors are not those of {theirs.name}")
    print(f"  {ours.name}: {len(found)} tensors as theirs, to the byte")


def _tensors(path: Path) -> list[tuple[str, str]]:
    from tests.converters.listing import read_listing

    return list(read_listing(path).tensors.items())


if __name__ == "__main__":
    main()
