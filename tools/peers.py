"""Builds llama.cpp's own programs, which this project is measured against: ``python -m tools.peers``.

``make peers`` runs it. The source is that of the pinned llama-cpp-python, whose archive holds the whole of
llama.cpp; compiler, flags and backend are those of the library in this environment, as tools/setup_native.py
noted them: a comparison must be one of programs, not of builds. The result lies outside the repository, in
the user's cache, and is made anew when the pin, the library's build or the CPU changes. An interrupted build
goes on where it stopped.

Obeyed from the environment: CMAKE_BUILD_PARALLEL_LEVEL. Exit status 1: the last line says why.
"""

import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

sys.path.append(str(Path(__file__).resolve().parent))  # where the siblings of tools/setup_native.py look
from native_stamp import FILE_NAME, Stamp, read_stamp

from qwen3vl_edge.paths import user_cache_dir
from tools.peers_build import LOG, OPTIONS, PeersError, compile_programs, configure, fetch_source, say

__all__ = ["PROGRAMS", "PeersError", "find", "main"]

PROGRAMS = (
    "llama-server",
    "llama-mtmd-cli",
    "llama-quantize",
    "llama-imatrix",
    "llama-perplexity",
    "llama-bench",
    "llama-cli",
)


def find(name: str) -> Path:
    """Give the path of one of `PROGRAMS`.

    Raises:
        PeersError: It is not built, or not as the library in this environment is.
    """
    stamp = _library_stamp()
    folder = _folder(stamp)
    program = folder / "bin" / name
    if not program.is_file():
        raise PeersError(f"{name} is not built; run `make peers`")
    if not _is_built(folder, stamp):
        raise PeersError(f"{program} is not built as the library here is; run `make peers`")
    return program


def main() -> int:
    """Build, unless that is done already."""
    try:
        stamp = _library_stamp()
        folder = _folder(stamp)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_built(folder, stamp):
                _build(folder, stamp)
    except PeersError as error:
        say(f"failed: {error}")
        return 1
    say(f"{len(PROGRAMS)} programs of llama.cpp are in {folder / 'bin'}")
    return 0


def _library_stamp() -> Stamp:
    """Read how the library in this environment was built."""
    path = Path(sys.prefix) / FILE_NAME
    stamp = read_stamp(path.parent)
    if stamp is None:
        raise PeersError(f"{path} does not say how llama.cpp was built here; run `make setup`")
    return stamp


def _folder(stamp: Stamp) -> Path:
    return user_cache_dir() / "peers" / stamp.requirement.partition("==")[2]


def _wanted(stamp: Stamp) -> str:
    """Describe the build that is wanted: how the library was made, but not which files came of it."""
    facts = {name: value for name, value in asdict(stamp).items() if name != "build"}
    return json.dumps({**facts, "options": OPTIONS, "programs": PROGRAMS}, indent=1) + "\n"


def _is_built(folder: Path, stamp: Stamp) -> bool:
    note = folder / FILE_NAME
    return note.is_file() and note.read_text(encoding="utf-8") == _wanted(stamp)


def _build(folder: Path, stamp: Stamp) -> None:
    """Build beside `folder`, into which the programs go when all are there."""
    work = folder.with_name(f"{folder.name}.work")
    tree, note = work / "build", work / FILE_NAME
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text("", encoding="utf-8")
    started = time.monotonic()
    if not _is_built(work, stamp):  # what lies there was begun in another way, or nothing does
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        note.write_text(_wanted(stamp), encoding="utf-8")
    fetch_source(stamp.requirement, work / "source")
    configure(work / "source", tree, stamp)
    compile_programs(tree, PROGRAMS)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.move(tree / "bin", folder / "bin")
    shutil.move(note, folder / FILE_NAME)
    shutil.rmtree(work)
    say(f"built in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
