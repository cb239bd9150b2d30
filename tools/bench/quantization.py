"""From the checkpoint of the 2B in its true shape to quantized files, against llama.cpp's three programs.

Theirs: its converter twice, for text in BF16 and the projector in Q8_0, and its quantizer on the text:
``llama_model_quantize`` of the same library, which is what llama-quantize calls.
"""

import ctypes
import shutil
import sys
from pathlib import Path

from tools.bench.measure import Command, in_turn
from tools.bench.report import report
from tools.oracle import CONVERT_SCRIPT

__all__ = ["measure"]

_ROUNDS = 2
_CLI = str(Path(sys.executable).parent / "qwen3vl-edge")
_CASES = (("Q4_K_M",), ("IQ4_XS",), ("Q4_K_M", "Q5_K_M", "Q6_K"))


def measure(source: Path) -> None:
    """Measure each of the cases beside `source`, the checkpoint."""
    for types in _CASES:
        _measure(source, types)


def _measure(source: Path, types: tuple[str, ...]) -> None:
    ours, text, projector = (source.with_name(name) for name in ("ours", "text", "projector"))
    options = [item for name in types for item in ("--type", name)]
    convert = [sys.executable, str(CONVERT_SCRIPT), str(source)]
    options += ["--projector-type", "Q8_0", "--no-verify"]
    commands = {
        "qwen3vl-edge convert": Command([_CLI, "convert", str(source), "-o", str(ours), *options], ours),
        "convert_hf_to_gguf.py": Command([*convert, str(text), "bf16"], text),
        "convert_hf_to_gguf.py --mmproj": Command([*convert, str(projector), "mmproj:q8_0"], projector),
    }
    for name in types:
        program = [sys.executable, "-m", "tools.bench.quantization", str(text / "model-bf16.gguf"), name]
        commands[f"llama_model_quantize {name}"] = Command([*program, str(text / f"{name}.gguf")])
    rows = in_turn(commands, _ROUNDS)
    report(f"quantize: 2B, 4.3 GB, to {', '.join(types)} and a Q8_0 projector", rows)
    own, *others = rows.values()
    print(f"  ours / theirs: {own.seconds / sum(row.seconds for row in others):.2f} (wanted: 0.70)")
    print(f"  our peak: {own.peak_bytes / 1e6:.0f} MB (wanted: 1200)")
    between = (text / "model-bf16.gguf").stat().st_size
    print(f"  disk beyond the result: ours 0, theirs {between / 1e9:.1f} GB")
    for folder in (ours, text, projector):
        shutil.rmtree(folder)


def _quantize(source: str, name: str, target: str) -> None:
    """Run llama.cpp's quantizer on all cores."""
    from qwen3vl_edge.quant import find_file_type
    from qwen3vl_edge.runtime.native import library

    llama = library().llama
    params = llama.llama_model_quantize_default_params()
    params.ftype = find_file_type(name).code
    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)):
        sys.exit(library().complaint())


if __name__ == "__main__":
    _quantize(*sys.argv[1:])
