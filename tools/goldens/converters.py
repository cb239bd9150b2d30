"""Goldens of the conversion: what llama.cpp's own converter makes of the tiny checkpoints."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.converters.cases import GOLDEN_CASES, MODEL_JOBS, GoldenCase, write_case
from tests.converters.listing import read_listing
from tests.goldens import GOLDEN
from tools.oracle import CONVERT_SCRIPT


def main() -> None:
    """Write tests/golden/converters/*.json."""
    for name, case in GOLDEN_CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            listings = _convert(case, Path(folder))
        text = json.dumps(listings, indent=1, ensure_ascii=False)
        (GOLDEN / "converters" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _convert(case: GoldenCase, out: Path) -> dict[str, object]:
    """Run the oracle; returns job -> metadata and tensors."""
    jobs = [*MODEL_JOBS, *(f"mmproj:{kind}" for kind in case.projector_jobs)]
    checkpoint = write_case(case, out)
    command = [sys.executable, str(CONVERT_SCRIPT), str(checkpoint), str(out), *jobs, "--any-vocab"]
    subprocess.run(command, capture_output=True, check=True)
    files = [*(f"model-{kind}" for kind in MODEL_JOBS), *(f"mmproj-{kind}" for kind in case.projector_jobs)]
    return {file: asdict(read_listing(out / f"{file}.gguf")) for file in files}


if __name__ == "__main__":
    main()
