"""Runs llama.cpp's own converter in a process of its own, several conversions at once.

``python tools/oracle_convert.py SRC OUT JOB…`` with jobs like ``bf16`` or ``mmproj:f16`` writes
``OUT/model-bf16.gguf``, ``OUT/mmproj-f16.gguf``. The converter wants the gguf-py that came with it,
which differs from the released gguf: hence the separate process.

Two things are switched off, neither of which touches what is compared: the attempt to import
sentencepiece, which is not installed, and with ``--any-vocab`` the check that the tokenizer gives a
known hash, which no test vocabulary can. ``--split-max-size=SIZE`` is handed on.
"""

import sys
from pathlib import Path

_LLAMA_CPP = Path(__file__).resolve().parent.parent / "build" / "oracle" / "llama.cpp"
_MMPROJ = "mmproj:"
_ANY_VOCAB = "--any-vocab"


def main(arguments: list[str]) -> None:
    """Run the jobs of the command line."""
    passed_on = [argument for argument in arguments if argument.startswith("--split-max-size=")]
    source, out, *jobs = [item for item in arguments if item != _ANY_VOCAB and item not in passed_on]
    sys.path[:0] = [str(_LLAMA_CPP), str(_LLAMA_CPP / "gguf-py")]
    import conversion.base
    import convert_hf_to_gguf

    def no_sentencepiece(*_: object) -> None:
        raise FileNotFoundError

    conversion.base.TextModel._set_vocab_sentencepiece = no_sentencepiece
    if _ANY_VOCAB in arguments:
        conversion.base.TextModel.get_vocab_base_pre = lambda *_: "qwen2"
    for job in jobs:
        name = job.removeprefix(_MMPROJ)
        is_projector = name != job
        outfile = Path(out) / f"{'mmproj' if is_projector else 'model'}-{name}.gguf"
        options = ["--outfile", str(outfile), "--outtype", name, *passed_on]
        sys.argv = ["convert_hf_to_gguf.py", source, *options, *(["--mmproj"] if is_projector else [])]
        convert_hf_to_gguf.main()


if __name__ == "__main__":
    main(sys.argv[1:])
