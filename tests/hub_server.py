"""A small Hugging Face hub on this machine: listing, ranges, redirects, and faults on demand."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["COMMIT", "HubServer", "Request", "running_hub"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BLOCK = 4096


@dataclass(frozen=True)
class Request:
    """What a client asked: `file` is None for the listing; header names in lower case."""

    method: str
    path: str
    file: str | None
    headers: dict[str, str]


@dataclass
class HubServer:
    """One repository and what goes wrong with it. All names are of files at its top."""

    repo_id: str
    files: dict[str, bytes]
    lfs: frozenset[str] = frozenset()
    url: str = ""
    token: str | None = None  # without it: 401, gated
    statuses: dict[str, list[int]] = field(default_factory=dict)  # name or "listing" -> statuses sent first
    cuts: dict[str, list[int]] = field(default_factory=dict)  # name -> bytes sent before each cut
    stalls: dict[str, int] = field(default_factory=dict)  # name -> bytes sent before it waits for `go_on`
    listed_sizes: dict[str, int] = field(default_factory=dict)
    listed_hashes: dict[str, str] = field(default_factory=dict)
    pauses: dict[str, float] = field(default_factory=dict)  # name -> seconds between blocks of 4 KiB
    range_shift: int = 0  # how far ranges begin from where they should
    warning: str = ""  # sent as X-HF-Warning, which huggingface_hub logs
    ranges: bool = True
    content_length: bool = True
    listing: object = None  # instead of the true one
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)

    def requested(self, method: str = "GET") -> list[str]:
        """Names of the files asked for, without what came of redirects."""
        return [
            request.file
            for request in self.requests
            if request.method == method and request.file and "/resolve/" in request.path
        ]

    def siblings(self) -> list[dict[str, object]]:
        """What the listing says about the files."""
        return [self._sibling(name, content) for name, content in self.files.items()]

    def _sibling(self, name: str, content: bytes) -> dict[str, object]:
        size = self.listed_sizes.get(name, len(content))
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
        entry: dict[str, object] = {"rfilename": name, "size": size, "blobId": git}
        if name in self.lfs:
            sha256 = self.listed_hashes.get(name, hashlib.sha256(content).hexdigest())
            entry["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        elif name in self.listed_hashes:
            entry["blobId"] = self.listed_hashes[name]
        return entry


@contextmanager
def running_hub(hub: HubServer) -> Iterator[HubServer]:
    """Serve `hub` on a free port of 127.0.0.1 and set its `url`."""

    class Handler(_Handler):
        state = hub

    server = _Server(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed, or has heard enough, closes the connection: nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    state: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, url = self.state, urlsplit(self.path)
        file = re.fullmatch(r"/(?:(.+)/resolve/(\w+)|cdn)/([^/]+)", url.path)
        name = unquote(file[3]) if file else None
        headers = {key.lower(): value for key, value in self.headers.items()}
        hub.requests.append(Request(self.command, self.path, name, headers))
        statuses = hub.statuses.get(name or "listing", [])
        from_cdn = url.path.startswith("/cdn/")
        if statuses:
            self._refuse(statuses.pop(0), "")
        elif hub.token and not from_cdn and headers.get("authorization") != f"Bearer {hub.token}":
            self._refuse(401, "GatedRepo")
        elif file and (from_cdn or (file[1], file[2]) == (hub.repo_id, COMMIT)):
            self._send_file(name or "", from_cdn)
        elif file is None:
            self._send_listing(url.path, parse_qs(url.query))
        else:
            self._refuse(404, "EntryNotFound")

    def _send_listing(self, path: str, query: dict[str, list[str]]) -> None:
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path)
        if found is None or found[1] != self.state.repo_id:
            self._refuse(404, "RepoNotFound")
        elif unquote(found[2]) not in {"main", "refs/pr/1", COMMIT}:
            self._refuse(404, "RevisionNotFound")
        else:
            assert query == {"blobs": ["true"]}
            whole = {"id": self.state.repo_id, "sha": COMMIT, "siblings": self.state.siblings()}
            body = json.dumps(whole if self.state.listing is None else self.state.listing).encode()
            self._head(200, {"Content-Length": str(len(body)), "Content-Type": "application/json"})
            self.wfile.write(body)

    def _send_file(self, name: str, from_cdn: bool) -> None:
        hub = self.state
        if name not in hub.files:
            self._refuse(404, "EntryNotFound")
        elif name in hub.lfs and not from_cdn:  # as the hub does: elsewhere, where the token must not go
            self._head(
                302,
                {
                    "Location": f"{hub.url}/cdn/{name}".replace("127.0.0.1", "localhost"),
                    "Content-Length": "0",
                },
            )
        else:
            self._send_body(name, hub.files[name])

    def _send_body(self, name: str, content: bytes) -> None:
        hub, start = self.state, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        extra = {"Accept-Ranges": "bytes"}
        if asked and hub.ranges:
            start = int(asked[1]) + hub.range_shift
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        extra |= (
            {"Content-Length": str(len(content) - start)} if hub.content_length else {"Connection": "close"}
        )
        self._head(206 if "Content-Range" in extra else 200, extra)
        cuts, stall = hub.cuts.get(name, []), hub.stalls.get(name)
        end = min(len(content), start + cuts.pop(0)) if cuts else len(content)
        for at in range(start, end, _BLOCK):
            if stall is not None and at >= stall:
                hub.go_on.wait()
            time.sleep(hub.pauses.get(name, 0))
            self.wfile.write(content[at : min(end, at + _BLOCK)])
        self.close_connection = self.close_connection or end < len(content)

    def _refuse(self, status: int, code: str) -> None:
        body = b'{"error": "no"}'
        headers = {"Content-Length": str(len(body))} | ({"X-Error-Code": code} if code else {})
        self._head(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        if self.state.warning:
            self.send_header("X-HF-Warning", self.state.warning)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
