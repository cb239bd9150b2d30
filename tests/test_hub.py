"""The hub client against a hub on this machine."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads

import httpx2
import pytest
from filelock import FileLock
from huggingface_hub import close_session, scan_cache_dir, try_to_load_from_cache

from qwen3vl_edge.errors import CheckpointError, EdgeError, UsageError
from qwen3vl_edge.hub import HubCheckpoint, HubReference, fetch_checkpoint, parse_reference
from qwen3vl_edge.hub.http_errors import HubUnreachableError, plain_errors
from qwen3vl_edge.hub.streams import run_all
from qwen3vl_edge.progress import SILENT, Progress, Task
from tests.hub_server import COMMIT, HubServer, running_hub

REPO = "Org/Model-2B"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
FIRST, SECOND = SHARDS
INDEX = "model.safetensors.index.json"
SMALL = frozenset((
    "config.json", "generation_config.json", "tokenizer.json", "merges.txt", "chat_template.json",
    "README.md", INDEX,
))  # fmt: skip
UNWANTED = (
    "pytorch_model.bin",
    "consolidated.safetensors",
    "original/model.safetensors",
    ".gitattributes",
    "a.gguf",
)


def _content(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    files = {name: _content(name, 300) for name in (*SMALL, *UNWANTED)}
    files[INDEX] = json.dumps({"weight_map": {"a": FIRST, "b": SECOND, "c": FIRST}}).encode()
    files |= {FIRST: _content(FIRST, 200_000), SECOND: _content(SECOND, 90_000)}
    server = HubServer(REPO, files, lfs=frozenset((*SHARDS, "tokenizer.json")))
    with running_hub(server):
        for name, value in _environment(server, tmp_path).items():
            monkeypatch.setenv(name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        # huggingface_hub has read these when it was imported
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr("qwen3vl_edge.hub.repository._FIRST_WAIT_SECONDS", 0.001)
        close_session()
        yield server
        close_session()


def _environment(server: HubServer, folder: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": server.url,
        "HF_HUB_CACHE": str(folder / "hub"),
        "XDG_CACHE_HOME": str(folder / "own"),
        "NO_PROXY": "*",
    }


def _fetch(text: str = REPO, *, weights: bool = True, progress: Progress = SILENT) -> HubCheckpoint:
    reference = parse_reference(text)
    assert reference
    return fetch_checkpoint(reference, weights=weights, progress=progress)


def _message(error: type[EdgeError] = CheckpointError, text: str = REPO) -> str:
    with pytest.raises(error) as caught:
        _fetch(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _repo_folder() -> Path:
    return Path(os.environ["HF_HUB_CACHE"]) / "models--Org--Model-2B"


def _partials() -> list[Path]:
    return list(_repo_folder().rglob("*.incomplete"))


def _listings(hub: HubServer) -> list[str]:
    return [request.path for request in hub.requests if request.file is None]


def _wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: dict[str, int] = {}

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[Task]:
        assert unit == "bytes"
        assert description not in self.totals
        self.totals[description], self.done[description] = total, 0
        recorder = self

        class Advance:
            def advance(self, amount: int = 1) -> None:
                assert amount > 0
                recorder.done[description] += amount

        yield Advance()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen3-VL-2B-Instruct", HubReference("Qwen/Qwen3-VL-2B-Instruct", None)),
        ("a/b@main", HubReference("a/b", "main")),
        ("a/b.c_d@refs/pr/1", HubReference("a/b.c_d", "refs/pr/1")),
        (f"a/b@{COMMIT}", HubReference("a/b", COMMIT)),
        *((text, None) for text in (
            "", "a", "a/", "/a/b", "a/b/c", "./a/b", "../a", "~/a", ".a/b", "a\\b", "a/b\\c", "C:/a", "a/b@",
            "a/b@x y", "a/../b", "a/b@../../x", "a/b@/x", "a/b@x/", "a--b/c", "a/b.git", "a/b.", "a/b-",
            "a/b\n", "a/b..c", "a/b@x..y", "a/bä", "a/" + "b" * 95, "out/demo.gguf", "out/Demo.GGUF",
        )),
    ],
)  # fmt: skip
def test_references(text: str, expected: HubReference | None) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://huggingface.co/Qwen/X", "give Qwen/X,"),
        ("http://huggingface.co/Qwen/X/tree/main?a=b", "give Qwen/X,"),
        ("https://huggingface.co/", "give ORG/NAME"),
        ("https://huggingface.co", "give ORG/NAME"),
    ],
)
def test_a_web_address_is_no_reference(address: str, wanted: str) -> None:
    with pytest.raises(UsageError, match="is a web address") as caught:
        parse_reference(address)
    assert wanted in str(caught.value)


def test_fetches_what_a_conversion_reads_and_nothing_else(hub: HubServer) -> None:
    progress = Recorder()
    checkpoint = _fetch(progress=progress)
    assert checkpoint.commit == COMMIT
    assert {path.name for path in checkpoint.folder.iterdir()} == {*SMALL, *SHARDS}
    for name in (*SMALL, *SHARDS):
        assert (checkpoint.folder / name).read_bytes() == hub.files[name]
    assert sorted(hub.requested()) == sorted((*SMALL, *SHARDS))
    assert {request.headers["accept-encoding"] for request in hub.requests} == {"identity"}
    rest = sum(len(hub.files[name]) for name in (*SMALL, *SHARDS) if name != INDEX)
    assert progress.totals == {"fetching": rest}
    assert progress.done == {"fetching": rest}
    assert not _partials()


def test_huggingface_hub_finds_what_was_fetched(hub: HubServer) -> None:
    folder = _fetch().folder
    cache = os.environ["HF_HUB_CACHE"]
    assert try_to_load_from_cache(REPO, FIRST, cache_dir=cache) == str(folder / FIRST)
    (repo,) = scan_cache_dir(cache).repos
    assert repo.repo_id == REPO
    assert next(iter(repo.revisions)).refs == {"main"}
    assert not scan_cache_dir(cache).warnings
    assert hub.requested("HEAD") == []


def test_second_fetch_asks_for_the_listing_alone(hub: HubServer) -> None:
    first = _fetch()
    hub.requests.clear()
    progress = Recorder()
    assert _fetch(progress=progress) == first
    assert [request.path for request in hub.requests] == [f"/api/models/{REPO}/revision/main?blobs=true"]
    assert progress.totals == {}


def test_without_weights(hub: HubServer) -> None:
    folder = _fetch(weights=False).folder
    assert {path.name for path in folder.iterdir()} == SMALL
    hub.requests.clear()
    _fetch()
    assert sorted(hub.requested()) == sorted(SHARDS)


def test_single_file_without_an_index(hub: HubServer) -> None:
    hub.files["model.safetensors"] = hub.files.pop(FIRST)
    hub.lfs |= {"model.safetensors"}
    del hub.files[INDEX]
    folder = _fetch().folder
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert not (folder / SECOND).exists()


def test_revision_is_asked_for_and_remembered(hub: HubServer) -> None:
    assert _fetch(f"{REPO}@refs/pr/1").commit == COMMIT
    assert hub.requests[0].path == f"/api/models/{REPO}/revision/refs%2Fpr%2F1?blobs=true"
    assert all(
        f"/resolve/{COMMIT}/" in request.path or "/cdn/" in request.path for request in hub.requests[1:]
    )
    assert (_repo_folder() / "refs" / "refs" / "pr" / "1").read_text() == COMMIT


def test_goes_on_within_a_run_when_the_connection_is_cut(hub: HubServer) -> None:
    hub.cuts = {FIRST: [70_000, 0, 0, 50_000]}
    progress = Recorder()
    folder = _fetch(progress=progress).folder
    assert (folder / FIRST).read_bytes() == hub.files[FIRST]
    ranges = [request.headers.get("range") for request in hub.requests if request.path == f"/cdn/{FIRST}"]
    assert ranges == [None, "bytes=70000-", "bytes=70000-", "bytes=70000-", "bytes=120000-"]
    assert progress.done == progress.totals


def test_goes_on_in_the_next_run(hub: HubServer) -> None:
    hub.cuts = {FIRST: [70_000] + [0] * 20}
    message = _message(EdgeError)
    assert FIRST in message
    assert "run again to go on" in message
    (partial,) = (path for path in _partials() if path.name.startswith(_sha256(hub.files[FIRST])))
    assert partial.read_bytes() == hub.files[FIRST][:70_000]
    hub.cuts.clear()
    hub.requests.clear()
    progress = Recorder()
    folder = _fetch(progress=progress).folder
    assert (folder / FIRST).read_bytes() == hub.files[FIRST]
    first = next(request for request in hub.requests if request.file == FIRST)
    assert first.headers["range"] == "bytes=70000-"
    assert progress.totals["fetching"] is not None
    assert progress.totals["fetching"] <= 130_000 + len(hub.files[SECOND])
    assert progress.done == progress.totals
    assert not _partials()


@pytest.mark.parametrize("content_length", [True, False])
def test_begins_anew_where_the_server_knows_no_ranges(hub: HubServer, content_length: bool) -> None:
    hub.cuts = {FIRST: [70_000]}
    hub.ranges, hub.content_length = False, content_length
    progress = Recorder()
    assert (_fetch(progress=progress).folder / FIRST).read_bytes() == hub.files[FIRST]
    assert progress.done == progress.totals


def test_a_busy_hub_is_asked_again(hub: HubServer) -> None:
    hub.statuses = {FIRST: [503, 429, 500]}
    assert (_fetch().folder / FIRST).read_bytes() == hub.files[FIRST]


def test_answers_that_end_early_are_not_taken_for_ever(hub: HubServer) -> None:
    hub.content_length = False
    hub.cuts = {FIRST: [70_000] + [0] * 20}
    assert "run again to go on" in _message(EdgeError)
    assert [r.path for r in hub.requests].count(f"/cdn/{FIRST}") == 1 + 6


def test_another_part_than_the_one_asked_for(hub: HubServer) -> None:
    hub.cuts = {FIRST: [70_000]}
    hub.range_shift = 1
    assert "another part" in _message()


def test_a_failure_ends_the_other_downloads(hub: HubServer) -> None:
    hub.pauses = {FIRST: 0.02}
    hub.listed_hashes = {SECOND: "0" * 64}
    assert SECOND in _message()
    assert 0 <= sum(path.stat().st_size for path in _partials()) < len(hub.files[FIRST])
    assert not (_repo_folder() / "blobs" / _sha256(hub.files[FIRST])).exists()


def test_a_refused_file_is_asked_for_once(hub: HubServer) -> None:
    hub.statuses = {FIRST: [403] * 2}
    assert "HTTP 403" in _message()
    assert hub.requested().count(FIRST) == 1


def test_a_damaged_partial_is_found_and_removed(hub: HubServer) -> None:
    blobs = _repo_folder() / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{_sha256(hub.files[FIRST])}.qwen3vl-edge.incomplete"
    partial.write_bytes(b"\0" * 1000)
    message = _message()
    assert FIRST in message
    assert _sha256(hub.files[FIRST]) in message
    assert _fetch().folder
    partial.write_bytes(b"\0" * 300_000)  # longer than the file: not from this file at all
    (blobs / _sha256(hub.files[FIRST])).unlink()
    (_repo_folder() / "snapshots" / COMMIT / FIRST).unlink()
    progress = Recorder()
    assert (_fetch(progress=progress).folder / FIRST).read_bytes() == hub.files[FIRST]
    assert progress.done == progress.totals == {"fetching": 200_000}


def test_wrong_hash(hub: HubServer) -> None:
    true = hub.files[SECOND]
    hub.listed_hashes = {SECOND: _sha256(true)}
    hub.files[SECOND] = true[:-1] + bytes([true[-1] ^ 1])
    message = _message()
    for part in (REPO, SECOND, _sha256(true), _sha256(hub.files[SECOND]), "run again"):
        assert part in message
    assert not (_repo_folder() / "snapshots" / COMMIT / SECOND).exists()
    hub.files[SECOND] = true
    assert (_fetch().folder / SECOND).read_bytes() == true


def test_wrong_hash_of_a_small_file(hub: HubServer) -> None:
    hub.listed_hashes = {"config.json": "0" * 40}
    assert "config.json" in _message()


@pytest.mark.parametrize("content_length", [True, False])
@pytest.mark.parametrize("listed", [89_999, 90_001])
def test_wrong_size(hub: HubServer, listed: int, content_length: bool) -> None:
    hub.listed_sizes = {SECOND: listed}
    hub.content_length = content_length
    message = _message(EdgeError)
    assert SECOND in message
    assert not (_repo_folder() / "snapshots" / COMMIT / SECOND).exists()
    if content_length:
        assert "90000" in message
        assert str(listed) in message
        assert hub.requested().count(SECOND) == 1


def test_damage_in_the_cache_is_found_once_and_repaired(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _fetch().folder
    blob = (folder / FIRST).resolve()
    blob.write_bytes(b"\0" + hub.files[FIRST][1:])
    message = _message()
    assert FIRST in message
    assert "run again" in message
    assert not blob.exists()
    assert not (folder / FIRST).is_symlink()
    assert (_fetch().folder / FIRST).read_bytes() == hub.files[FIRST]


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["generation_config.json", INDEX])
def test_damage_of_a_small_file_in_the_cache_is_found(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, known: bool, offline: bool
) -> None:
    blob = (_fetch().folder / name).resolve()
    blob.write_bytes(hub.files[name][:-1] + b"?")
    if not known:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing-known"))
    with monkeypatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", str(int(offline)))
        message = _message()
    assert name in message
    assert hashlib.sha1(b"blob %d\0" % len(hub.files[name]) + hub.files[name]).hexdigest() in message  # noqa: S324
    assert "run again" in message
    assert not blob.exists()
    assert (_fetch().folder / name).read_bytes() == hub.files[name]


def test_what_others_fetched_is_verified_once(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fetch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing-known"))
    size = sum(len(hub.files[name]) for name in (*SMALL, *SHARDS) if name != INDEX)
    for expected in ({"verifying": size}, {}):
        progress = Recorder()
        _fetch(progress=progress)
        assert progress.totals == expected
        assert progress.done == expected
    for record in (tmp_path / "nothing-known" / "qwen3vl-edge" / "verified").iterdir():
        record.write_text("[]")
    _fetch(progress=(progress := Recorder()))
    assert set(progress.totals) == {"verifying"}


def test_a_blob_of_another_commit_is_linked(hub: HubServer) -> None:
    folder = _fetch().folder
    (folder / FIRST).unlink()
    hub.requests.clear()
    progress = Recorder()
    assert (_fetch(progress=progress).folder / FIRST).read_bytes() == hub.files[FIRST]
    assert hub.requested() == []
    assert progress.totals == {"fetching": 0}


def test_links_out_of_the_cache_are_not_followed_to_delete(hub: HubServer, tmp_path: Path) -> None:
    folder = _fetch().folder
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    (folder / FIRST).unlink()
    (folder / FIRST).symlink_to(mine)
    _message()
    assert mine.read_bytes() == b"precious"
    assert not (folder / FIRST).is_symlink()


def test_without_links_the_files_move(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path, target_is_directory: bool = False) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = _fetch().folder
    assert (folder / FIRST).read_bytes() == hub.files[FIRST]
    hub.requests.clear()
    _fetch()
    assert hub.requested() == []


def test_two_at_a_time_share_the_work(hub: HubServer) -> None:
    hub.stalls = {FIRST: 100_000}
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(_fetch) for _ in range(2)]
        _wait_for(lambda: hub.requested().count(FIRST) == 1 and len(_listings(hub)) == 2)
        hub.go_on.set()
        assert both[0].result() == both[1].result()
    assert sorted(hub.requested()) == sorted((*SMALL, *SHARDS))


def test_a_failure_ends_the_wait_for_another_process(hub: HubServer) -> None:
    lock = Path(
        os.environ["HF_HUB_CACHE"], ".locks", _repo_folder().name, f"{_sha256(hub.files[FIRST])}.lock"
    )
    lock.parent.mkdir(parents=True)
    hub.listed_hashes = {SECOND: "0" * 64}
    with FileLock(lock):
        assert SECOND in _message()


@pytest.mark.parametrize("n_threads", [1, 3, 20])
def test_every_job_runs_once_in_its_order(n_threads: int) -> None:
    ran: list[int] = []
    run_all([lambda _, i=i: ran.append(i) for i in range(10)], n_threads)  # type: ignore[misc]
    assert sorted(ran) == list(range(10))
    assert n_threads > 1 or ran == list(range(10))
    run_all([], n_threads)


def test_the_first_failure_stops_the_other_jobs() -> None:
    stopped, begun = [], Event()

    def wait(stop: Event) -> None:
        begun.set()
        stopped.append(stop.wait(30))

    def fail(_: Event) -> None:
        begun.wait(30)
        raise EdgeError("first")

    with pytest.raises(EdgeError, match="first"):
        run_all([wait, fail, lambda _: stopped.append(False)], 2)
    assert stopped == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_stops_the_jobs() -> None:
    stopped: list[bool] = []

    def press_ctrl_c(stop: Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        stopped.append(stop.wait(30))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_all([press_ctrl_c], 2)
    finally:
        signal.signal(signal.SIGINT, before)
    _wait_for(lambda: stopped == [True])


def test_a_thread_that_hears_nothing_is_left_behind() -> None:
    heard = Event()

    def fail(_: Event) -> None:
        raise EdgeError("no")

    began = time.monotonic()
    with pytest.raises(EdgeError):
        run_all([lambda _: heard.wait(30) and None, fail], 2)
    assert time.monotonic() - began < 10
    left = [thread for thread in enumerate_threads() if "_work" in thread.name]
    assert [thread.daemon for thread in left] == [True]  # the process may end without it
    heard.set()
    left[0].join(30)


def test_gated(hub: HubServer) -> None:
    hub.token = "hf_right"  # noqa: S105
    message = _message()
    assert f"accept its terms at {hub.url}/{REPO}" in message
    assert "HF_TOKEN" in message
    assert "hf auth login" in message


def test_the_token_opens_and_stays_with_the_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_secret"  # noqa: S105
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf_wrong" not in _message()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.requests.clear()
    _fetch()
    for request in hub.requests:
        to_hub = not request.path.startswith("/cdn/")
        assert request.headers.get("authorization") == ("Bearer hf_secret" if to_hub else None)


@pytest.mark.parametrize("status", [401, 403, 404, 418, 500])
def test_refusals_without_a_reason(hub: HubServer, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.statuses = {"listing": [status]}
    message = _message(EdgeError)
    assert f"HTTP {status}" in message
    assert "hf_secret" not in message


@pytest.mark.parametrize("token", ["hf_ä", "hf_a\x00b", "hf\nX-Evil: 1"])
def test_a_token_that_no_header_can_hold(hub: HubServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: token)
    assert token not in _message(EdgeError)


def test_no_such_repository(hub: HubServer) -> None:
    message = _message(text="Org/Other")
    assert "Org/Other: no such repository" in message
    assert "private" in message


def test_no_such_revision(hub: HubServer) -> None:
    assert "no such branch, tag or commit" in _message(text=f"{REPO}@v9")


def test_no_such_file_after_all(hub: HubServer) -> None:
    hub.listing = {"sha": COMMIT, "siblings": hub.siblings()}
    del hub.files["merges.txt"]
    assert "HTTP 404" in _message()


@pytest.mark.parametrize("missing", ["config.json", "weights"])
def test_repository_that_is_no_checkpoint(hub: HubServer, missing: str) -> None:
    for name in (INDEX, *SHARDS) if missing == "weights" else (missing,):
        del hub.files[name]
    assert ("safetensors" if missing == "weights" else missing) in _message()
    assert hub.requested() == []


def test_index_names_a_shard_that_is_not_there(hub: HubServer) -> None:
    del hub.files[SECOND]
    message = _message()
    assert SECOND in message
    assert hub.requested() == [INDEX]


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "x.bin",
        ".x.safetensors",
        "a\\b.safetensors",
        7,
    ],
)
def test_index_names_a_path(hub: HubServer, name: object) -> None:
    hub.files[INDEX] = json.dumps({"weight_map": {"a": name}}).encode()
    assert "plain names" in _message()
    assert hub.requested() == [INDEX]


@pytest.mark.parametrize(
    "listing",
    [
        [],
        {},
        {"sha": "../../x", "siblings": []},
        {"sha": COMMIT, "siblings": 3},
        {"sha": COMMIT, "siblings": [{"rfilename": 3}]},
        {"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]},
        {"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": -1, "blobId": "0" * 40}]},
        {"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 1, "blobId": "../../../x"}]},
        {
            "sha": COMMIT,
            "siblings": [{"rfilename": "a.safetensors", "size": 1, "lfs": {"size": 1, "sha256": "x"}}],
        },
    ],
)
def test_a_listing_that_is_none(hub: HubServer, listing: object) -> None:
    hub.listing = listing
    assert f"{REPO}: the listing of {hub.url}" in _message()
    assert hub.requested() == []


def test_what_the_listing_says_about_other_files_is_nobodys_business(hub: HubServer) -> None:
    hub.listing = {"sha": COMMIT, "siblings": [*hub.siblings(), {"rfilename": "x.bin", "lfs": 3}]}
    assert _fetch().folder


def test_a_listing_without_end(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen3vl_edge.hub.repository._LISTING_LIMIT_BYTES", 100)
    assert "exceeds 100 bytes" in _message()


def test_a_small_file_that_is_not_small(hub: HubServer) -> None:
    hub.listed_sizes = {"tokenizer.json": 1 << 40}
    assert "tokenizer.json" in _message()
    assert hub.requested() == []


def test_disk_too_small(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen3vl_edge.hub.cache.HubCache.free_bytes", lambda cache: 100_000)
    message = _message(EdgeError)
    assert "100,000" in message
    assert "HF_HUB_CACHE" in message
    assert hub.requested() == [INDEX]


def test_disk_full(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, response: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qwen3vl_edge.hub.reception.Reception.read", full)
    assert "the disk is full" in _message(EdgeError)


def test_cache_that_cannot_be_written(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file"))
    assert str(tmp_path / "file") in _message(EdgeError)


@pytest.mark.parametrize("way", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline(hub: HubServer, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(way, "1")
        message = _message(EdgeError)
        assert "HF_HUB_OFFLINE" in message
        assert "give the path of a checkpoint folder" in message
        assert hub.requests == []
    online = _fetch()
    hub.requests.clear()
    monkeypatch.setenv(way, "1")
    assert _fetch() == online
    assert _fetch(f"{REPO}@{COMMIT}").folder == online.folder
    assert hub.requests == []
    (online.folder / SECOND).unlink()
    assert SECOND in _message(EdgeError)
    assert _fetch(weights=False) == online


def test_offline_damage_is_found(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = (_fetch().folder / FIRST).resolve()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    blob.write_bytes(b"\0" + hub.files[FIRST][1:])
    assert FIRST in _message()


@pytest.mark.parametrize("name", ["tokenizer.json", "merges.txt", "config.json", INDEX, SECOND])
@pytest.mark.parametrize("way", ["offline", "refused"])
def test_a_gap_in_the_cache_is_no_checkpoint(
    hub: HubServer, way: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_fetch().folder / name).unlink()
    monkeypatch.setenv(
        *(("HF_HUB_OFFLINE", "1") if way == "offline" else ("HF_ENDPOINT", "http://127.0.0.1:9"))
    )
    assert f"lacks {name} of {REPO}" in _message(EdgeError)


@pytest.mark.parametrize("record", [None, "{", "{}"])
def test_a_gap_that_nobody_can_be_sure_of_is_a_warning(
    hub: HubServer,
    record: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Another program fetched it: of what the repository holds, only the cache itself is known."""
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        hub.files[name] = _content(name, 300)
    online = _fetch()
    (listing,) = (tmp_path / "own" / "qwen3vl-edge" / "listings").rglob(f"{COMMIT}.json")
    listing.unlink() if record is None else listing.write_text(record)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _fetch() == online
    assert caplog.text == ""
    (online.folder / "tokenizer_config.json").unlink()
    assert _fetch() == online
    assert f"{REPO}: the cache lacks tokenizer_config.json; if the repository has it" in caplog.text
    (online.folder / SECOND).unlink()
    assert SECOND in _message(EdgeError)


@pytest.mark.parametrize("way", ["refused", "503"])
def test_hub_down(
    hub: HubServer, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    online = _fetch()
    if way == "refused":
        monkeypatch.setenv("HF_ENDPOINT", "http://name:hf_secret@127.0.0.1:9")
    hub.statuses = {"listing": [503] * 2}
    assert _fetch() == online
    assert COMMIT in caplog.text
    monkeypatch.setenv("HF_HUB_CACHE", os.environ["HF_HUB_CACHE"] + "-empty")
    message = _message(EdgeError)
    assert "127.0.0.1" in message
    assert "give the path of a checkpoint folder" in message
    assert "hf_secret" not in message + caplog.text


def test_an_endpoint_that_is_none(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("huggingface.co", "ftp://x", "http://[::1", "http://"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert "HF_ENDPOINT" in _message(UsageError)


def test_words_of_the_http_library_stay_out() -> None:
    with (
        pytest.raises(HubUnreachableError) as caught,
        plain_errors("https://user:hf_secret@hub.example", REPO),
    ):
        raise httpx2.LocalProtocolError("Illegal header value b'Bearer hf_secret'")
    assert str(caught.value) == "https://hub.example cannot be reached (LocalProtocolError)"


def test_nothing_is_printed(
    hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hub.warning = f"{tmp_path}; huggingface_hub logs this, once a topic"
    hub.cuts = {FIRST: [70_000, 0]}
    hub.statuses = {SECOND: [503]}
    _fetch()
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def _start_child(folder: Path, server: HubServer) -> subprocess.Popen[bytes]:
    program = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a parent may have it ignored
        "from qwen3vl_edge.hub import fetch_checkpoint, parse_reference\n"
        f"fetch_checkpoint(parse_reference({REPO!r}))\n"
    )
    environment = {**os.environ, **_environment(server, folder), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment | {"HF_TOKEN_PATH": str(folder / "token"), "HF_HUB_DOWNLOAD_TIMEOUT": "60"},
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle(hub: HubServer, tmp_path: Path, how: signal.Signals) -> None:
    hub.stalls = {FIRST: 100_000}
    partial = _repo_folder() / "blobs" / f"{_sha256(hub.files[FIRST])}.qwen3vl-edge.incomplete"
    with _start_child(tmp_path, hub) as child:
        _wait_for(lambda: partial.exists() and partial.stat().st_size >= 90_000)
        child.send_signal(how)
        _, errors = child.communicate(timeout=8)
        assert child.returncode == -how
    assert (b"KeyboardInterrupt" in errors) == (how == signal.SIGINT)
    held = partial.stat().st_size
    assert partial.read_bytes() == hub.files[FIRST][:held]
    hub.stalls.clear()
    hub.requests.clear()
    assert (_fetch().folder / FIRST).read_bytes() == hub.files[FIRST]
    assert next(r for r in hub.requests if r.file == FIRST).headers["range"] == f"bytes={held}-"
