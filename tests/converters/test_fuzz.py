"""Five thousand damaged checkpoints.

Each is refused with one line, or it is *accepted*: then our reading of the weights is that of the
safetensors package, and the written files hold nothing that tests/converters/nonsense.py would call
nonsense. A change that makes no difference (a space, an unread key, a lower temperature) is accepted.
"""

import hashlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from qwen3vl_edge.converters import Recipe, plan_conversion
from qwen3vl_edge.errors import EdgeError
from qwen3vl_edge.quant.run import run_plan
from qwen3vl_edge.writing import WritePlan
from tests.converters.mutations import mutate
from tests.converters.nonsense import nonsense_in_model, nonsense_in_projector, nonsense_in_reading
from tests.converters.spoil import SMALL, edit_json
from tests.tiny_checkpoint import Fp8, write_tiny_checkpoint

N_MUTATIONS = 5000
N_PARTS = 5
LIMIT_S = 5
LONGEST_MESSAGE = 10_000

EXPERTS = replace(SMALL, n_experts=3, n_experts_used=2, expert_ffn=8)


def write_sources(folder: Path) -> list[Path]:
    """Write the sound checkpoints: dense in one file, dense in shards, FP8 experts."""
    one = write_tiny_checkpoint(folder / "One", shape=SMALL)
    (one / "README.md").write_text("---\nlicense: mit\ntags: [a, b]\nbase_model: Org/Base-2B\n---\n# One\n")
    for name in ("vocab.json", "merges.txt"):
        (one / name).unlink()
    edit_json(one / "tokenizer_config.json", lambda value: value.pop("added_tokens_decoder"))
    shards = write_tiny_checkpoint(
        folder / "Shards", shape=SMALL, sharded=True, spelling="5", tied=False, dtype="F32"
    )
    (shards / "tokenizer.json").unlink()  # vocab.json and merges.txt are left, and the ids of config.json
    edit_json(shards / "tokenizer_config.json", lambda value: value.update(eos_token=None, pad_token=None))
    experts = write_tiny_checkpoint(
        folder / "Experts", shape=EXPERTS, dtype="F8_E4M3", fp8=Fp8((8, 8)), spelling="5"
    )
    for name in ("vocab.json", "merges.txt"):
        (experts / name).unlink()
    return [one, shards, experts]


class TooLong(BaseException):
    """Raised by the watchdog; nothing that is tested may catch it."""


@contextmanager
def watchdog() -> Iterator[None]:
    def bark(*_: object) -> None:
        raise TooLong

    previous = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - began < LIMIT_S  # in native code no signal is heard


def fingerprint(plan: WritePlan, source: Path) -> bytes:
    """Identify what a plan writes: equal headers over equal weights make equal files."""
    digest = hashlib.sha256()
    for file in plan.files:
        digest.update(file.header)
    for shard in sorted(source.glob("*.safetensors")):
        digest.update(shard.read_bytes())
    return digest.digest()


def check_written(plan: WritePlan, out: Path) -> None:
    """Convert for good and look at all that came out."""
    run_plan(plan, out, n_threads=1)
    model, projector = (out / file.name for file in plan.files)
    assert set(out.iterdir()) == {model, projector, out / "manifest.json"}
    hidden = next(item.shape[1] for item in plan.files[0].tensors if item.name == "token_embd.weight")
    wrong = nonsense_in_model(model) + nonsense_in_projector(projector, hidden)
    assert wrong == []
    shutil.rmtree(out)


def attempt(source: Path, out: Path, seen: set[bytes]) -> str | None:
    """Convert `source`; returns the message of a refusal, None if it was accepted."""
    try:
        with watchdog():
            plan = plan_conversion(source, Recipe())
            mark = fingerprint(plan, source)
            if mark not in seen:
                assert nonsense_in_reading(source) == []
                check_written(plan, out)
                seen.add(mark)
    except EdgeError as refusal:
        assert not out.exists() or not list(out.iterdir())
        return str(refusal)
    return None


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the watchdog needs POSIX timers")
@pytest.mark.parametrize("part", range(N_PARTS))
def test_no_damage_goes_unnoticed(tmp_path: Path, part: int) -> None:
    sources = write_sources(tmp_path)
    sound = {source: {file.name: file.read_bytes() for file in source.iterdir()} for source in sources}
    seen: set[bytes] = set()
    ends: Counter[str] = Counter()
    for seed in range(part, N_MUTATIONS, N_PARTS):
        source = sources[seed // N_PARTS % len(sources)]
        name, damaged = mutate(sound[source], random.Random(seed))
        (source / name).write_bytes(damaged)
        try:
            refusal = attempt(source, tmp_path / "out", seen)
        except BaseException as failure:
            failure.add_note(f"mutation {seed}: {name} of {source.name}")
            raise
        ends["accepted" if refusal is None else "refused"] += 1
        if refusal is not None:
            assert len(refusal.splitlines()) == 1, (seed, refusal)
            assert 0 < len(refusal) < LONGEST_MESSAGE, seed
        (source / name).write_bytes(sound[source][name])
        assert {file.name for file in source.iterdir()} == sound[source].keys(), seed
    assert min(ends["accepted"], ends["refused"]) > N_MUTATIONS // N_PARTS // 20, ends
