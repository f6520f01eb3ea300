"""A model hub on this machine: the two requests that a download makes, over a folder of files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def commit_of(repo_id: str) -> str:
    """The commit at which the hub holds a repository."""
    return hashlib.sha1(repo_id.encode(), usedforsecurity=False).hexdigest()


class Hub:
    """Files of repositories, and what was asked for. break_after: bytes of a file after which the connection is cut."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.fetched: list[str] = []
        self.break_after: int | None = None
        self.url = ""

    def info(self, repo_id: str) -> dict[str, Any]:
        folder = self.folders[repo_id]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        rows = []
        for path in files:
            row: dict[str, Any] = {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
            if path.suffix == ".safetensors":
                row["lfs"] = {"sha256": _sha(path), "size": path.stat().st_size, "pointerSize": 100}
            rows.append(row)
        return {
            "id": repo_id,
            "modelId": repo_id,
            "sha": commit_of(repo_id),
            "siblings": rows,
            "tags": [],
            "downloads": 0,
        }


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            owner, name = self.path.removeprefix("/api/models/").split("/")[:2]
            repo_id = f"{owner}/{name}".partition("?")[0]
            if repo_id not in self.hub.folders:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                return
            data = json.dumps(self.hub.info(repo_id)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        else:
            self._file(body=True)

    def _file(self, *, body: bool) -> None:
        owner, name, _, _, *rest = self.path.strip("/").split("/")
        path = self.hub.folders[f"{owner}/{name}"] / "/".join(rest)
        data = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", commit_of(f"{owner}/{name}"))
        self.send_header("ETag", f'"{_sha(path)}"')
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        self.hub.fetched.append("/".join(rest))
        cut, self.hub.break_after = self.hub.break_after, None
        self.wfile.write(data[start:] if cut is None else data[start : start + cut])
        self.wfile.flush()
        if cut is not None:
            self.connection.close()


@contextmanager
def hub_at(folders: dict[str, Path]) -> Iterator[Hub]:
    """A running hub that holds these repositories."""
    hub = Hub()
    hub.folders = folders
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
