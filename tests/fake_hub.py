"""A hub on this machine: it speaks as much of the hub's protocol as its client asks for, well or badly.

A repository has commits with files, and branches that point to commits. `trouble` says how it fails:

    gated      the page is there, its files are refused         limited         429 with Retry-After, for whatever is asked
    stalled    half of each large file comes, then nothing       limited files   the same for files only, `refusals` times
    short      the page promises a byte more than is sent        cut             half of each large file comes, then the end
    slow       a large file comes in ten pieces, one every quarter of a second
    portal     a login page of the network answers
    list       JSON comes that is no model's page
    echo       every answer fails with `status`, and holds the token that was sent
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

LARGE_BYTES = 4_000  # stands for what the hub keeps as large files, named by their SHA-256


@dataclass
class Repository:
    """One model's page."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    trouble: str = ""
    retry_s: int = 300
    refusals: int = 1_000
    status: int = 500
    told: dict[str, Any] = field(default_factory=lambda: {"tags": ["license:mit"]})

    def move(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit with these files, which the branch points to from now on."""
        digest = hashlib.sha1(repr((branch, len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[digest] = files
        self.branches[branch] = digest
        return digest


class FakeHub:
    """The server, and what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.over = threading.Event()
        hub = self

        class Handler(_Handler):
            fake = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, name: str, files: dict[str, bytes] | Path, trouble: str = "", **settings: Any) -> Repository:
        """A repository with one commit, or the same one with new files on main."""
        if isinstance(files, Path):
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in sorted(files.rglob("*")) if path.is_file()}
        repository = self.repositories.setdefault(name, Repository({}, {}, trouble, **settings))
        repository.move(files)
        return repository

    def close(self) -> None:
        """End it, and whoever waits for it."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer()

    def do_POST(self) -> None:
        """What making a repository and one commit asks: everything is sent in the commit itself."""
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fake.asked.append(f"POST {path}")
        if path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            if name in self.fake.repositories:
                return self._send(409, b'{"error": "You already created this model repo"}', {})
            if name.startswith("others/"):
                return self._send(403, b'{"error": "Forbidden"}', {})
            self.fake.repositories[name] = Repository({}, {}, told=told)
            return self._json({"url": f"{self.fake.address}/{name}"})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        name = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            return self._json({"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]})
        lines = [json.loads(line) for line in body.splitlines() if line]
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"}
        commit = self.fake.repositories[name].move(files)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.fake.address}/{name}/commit/{commit}"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.fake.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            file = ""
        elif "/resolve/" in path:
            owner, name, *rest = path.lstrip("/").split("/")
            file = rest[-1]
        else:
            return self._refuse(404, "", "Not found")
        if file and len(rest) > 3 and len(rest[1]) == 40:  # a file in a subfolder, at a commit
            rest, file = rest[:3], "/".join(rest[2:])
        kind, revision = (rest[0], "/".join(rest[1 : -1 if file else None])) if rest else ("revision", "main")
        repository = self.fake.repositories.get(f"{owner}/{name}")
        if repository is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if repository.trouble == "echo":
            sent = self.headers.get("Authorization") or "no token was sent"
            return self._send(repository.status, json.dumps({"error": sent}).encode(), {"X-Error-Message": sent})
        if repository.trouble in ("portal", "list"):
            return self._send(
                200, {"portal": b"<html>Log in</html>", "list": b'[{"id": 5}]'}[repository.trouble], {"Content-Type": "text/html"}
            )
        limited = repository.trouble == "limited" or (repository.trouble == "limited files" and file)
        if limited and repository.refusals > 0:
            repository.refusals -= 1
            return self._send(429, b"", {"Retry-After": str(repository.retry_s)})
        commit = repository.branches.get(revision, revision)
        files = repository.commits.get(commit)
        if files is None:
            return self._refuse(404, "RevisionNotFound", "Invalid rev id")
        if file:
            return self._file(repository, commit, files, file)
        self._json(_tree(files) if kind == "tree" else _page(f"{owner}/{name}", repository, commit, files))

    def _file(self, repository: Repository, commit: str, files: dict[str, bytes], name: str) -> None:
        if repository.trouble == "gated":
            return self._refuse(403, "GatedRepo", "Access to this model is restricted")
        if name not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        content = files[name]
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        large = len(content) >= LARGE_BYTES and self.command == "GET"
        if large and repository.trouble == "slow":
            return self._send(200, content, headers, pieces=10)
        if not (large and repository.trouble in ("cut", "stalled")):
            return self._send(200, content, headers)
        self._send(200, content, headers, half=True)
        if repository.trouble == "stalled":
            self.fake.over.wait(60)
        self.close_connection = True

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str], half: bool = False, pieces: int = 1) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            sent = content[: len(content) // 2] if half else content
            size = -(-len(sent) // pieces) or 1
            for start in range(0, len(sent), size):
                self.wfile.write(sent[start : start + size])
                self.wfile.flush()
                self.fake.over.wait(0.25 if pieces > 1 else 0)


def _oid(content: bytes) -> str:
    """As the hub names content: large files by SHA-256, others as git does."""
    if len(content) >= LARGE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _lfs(content: bytes, oid: str) -> dict[str, Any]:
    large = {"size": len(content), "pointerSize": 134, oid: _oid(content)}
    return {"lfs": large} if len(content) >= LARGE_BYTES else {}


def _tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": name, "oid": "0" * 40, "size": len(content), **_lfs(content, "oid")} for name, content in files.items()
    ]


def _page(name: str, repository: Repository, commit: str, files: dict[str, bytes]) -> dict[str, Any]:
    more = 1 if repository.trouble == "short" else 0
    siblings = [
        {"rfilename": file, "size": len(content) + more, "blobId": "0" * 40, **_lfs(content, "sha256")} for file, content in files.items()
    ]
    gated = "auto" if repository.trouble == "gated" else False
    return {"id": name, "sha": commit, "private": False, "gated": gated, "siblings": siblings, "lastModified": None, **repository.told}


@contextlib.contextmanager
def online(hub: FakeHub, place: Path, patch: pytest.MonkeyPatch):
    """This process, and what it starts, take the fake for the hub, and keep what they fetch under `place`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    for name, value in {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(place),
        "HF_HUB_CACHE": str(place / "hub"),
        "NO_PROXY": "127.0.0.1",
    }.items():
        patch.setenv(name, value)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        patch.delenv(name, raising=False)
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(place / "hub"),
        "HF_HOME": str(place),
    }.items():
        patch.setattr(constants, name, value)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_TOKEN_PATH", str(place / "token"))
    close_session()
    yield
    close_session()
