"""A small Hugging Face Hub on loopback, for tests of everything that is pushed and loaded back.

It speaks the part of the Hub API that `huggingface_hub` 2.4 and `datasets` 5.2 use for models, datasets and Spaces:
create, preupload, LFS batch and upload, commit, resolve (HEAD, ranges), info, tree, paths-info, refs, branches, tags.
Content is in memory.

    with HubServer() as hub:
        hub.python("from transformers import AutoModel; AutoModel.from_pretrained('org/name')", without=["slt_hf"])
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from hub_store import Commit, NotFound, Repository, StoredFile, folders_of, goes_to_lfs

ROUTES: list[tuple[str, re.Pattern, str]] = []
REPO = r"(?P<kind>model|dataset|space)s/(?P<id>[^/]+/[^/]+)"


def route(method: str, pattern: str) -> Callable:
    """Send requests whose raw path matches `pattern` to the method; groups are unquoted and passed by name."""

    def register(function: Callable) -> Callable:
        ROUTES.append((method, re.compile(pattern.replace("REPO", REPO) + "$"), function.__name__))
        return function

    return register


class Refused(Exception):
    """An answer other than 200 that is not about something missing."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class HubServer:
    """The server, its repositories, and ways to talk to it.

    Args:
        token: if given, whatever writes must carry it as a bearer token, as on the real Hub.
    """

    def __init__(self, token: str | None = None):
        self.token = token
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lfs: dict[str, bytes] = {}  # by sha256
        self.requests: list[str] = []  # "METHOD path", in order of arrival: tests look at what was asked
        self.lock = threading.RLock()
        self._home = tempfile.TemporaryDirectory(prefix="hub_home_")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._home.cleanup()

    def files(self, repo_id: str, kind: str = "model", revision: str = "main") -> dict[str, bytes]:
        """What a repository holds, path -> content."""
        commit = self.repository(kind, repo_id).find(revision)
        return {path: file.content for path, file in commit.files.items()}

    def repository(self, kind: str, repo_id: str) -> Repository:
        if (kind, repo_id) not in self.repositories:
            raise NotFound("RepoNotFound", f"Repository not found: {kind} {repo_id}")
        return self.repositories[kind, repo_id]

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """Environment variables for a process that is to take this server for the Hub."""
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home or self._home.name),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",  # Xet has a protocol of its own; without it clients fall back to LFS
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        return {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | own

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process take the server for the Hub, which saves a test the seconds of importing torch again.

        What `huggingface_hub` read from the environment when it was imported is replaced where it is kept.
        """
        from huggingface_hub import constants, hf_api

        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        template = f"{self.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path(self._home.name, "hub")))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(Path(self._home.name, "token")))
        monkeypatch.setattr(hf_api.api, "endpoint", self.url)
        from transformers.utils import hub  # keeps a client of its own once one was asked for

        monkeypatch.setattr(hub, "_hf_api", None)

    def run(self, command: list[str], check: bool = True, **extra: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against this server; `extra` are further environment variables."""
        environment = self.environment() | extra
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, code: str, *arguments: str, without: Iterable[str] = (), **extra: Any) -> str:
        """Run code against this server, in a process that cannot import the modules `without`; its stdout."""
        blocked = "".join(f"import sys; sys.modules[{name!r}] = None\n" for name in without)
        with tempfile.TemporaryDirectory() as elsewhere:  # not beside anything importable
            script = Path(elsewhere, "script.py")
            script.write_text(blocked + code)
            return self.run([sys.executable, str(script), *arguments], **extra).stdout


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    # --- plumbing ---------------------------------------------------------------------------------------------------

    def log_message(self, *_: Any) -> None:
        """Silence: the server lives inside a test run."""

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("GET")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def do_DELETE(self) -> None:
        self._dispatch("DELETE")

    def _dispatch(self, method: str) -> None:
        self.body = self._read_body()
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.hub.requests.append(f"{self.command} {url.path}")
        try:
            with self.hub.lock:
                self._find_route(method, url.path)
        except NotFound as missing:
            self._answer_missing(missing)
        except Refused as refused:
            self._answer_json({"error": str(refused)}, refused.status, {"X-Error-Message": str(refused)})

    def _find_route(self, method: str, path: str) -> None:
        for wanted, pattern, name in ROUTES:
            match = pattern.match(path) if wanted == method else None
            if match:
                writes = method != "GET" and "paths-info" not in path and "validate-yaml" not in path
                if writes and self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
                    if not path.startswith("/lfs/"):  # signed addresses on the real Hub
                        raise Refused(401, "Invalid credentials in Authorization header")
                groups = match.groupdict()
                return getattr(self, name)(**{key: unquote(value) for key, value in groups.items() if value})
        raise Refused(404, f"the local Hub does not know {method} {path}")

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer_json(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(data).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def _answer_missing(self, missing: NotFound, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Code": missing.code, "X-Error-Message": str(missing)}
        self._answer_json({"error": str(missing)}, 404, named | (headers or {}))

    @property
    def _json(self) -> dict:
        return json.loads(self.body or b"{}")

    # --- repositories -----------------------------------------------------------------------------------------------

    @route("GET", "/api/whoami-v2")
    def who_am_i(self) -> None:
        self._answer_json({"type": "user", "name": "tester", "orgs": [{"name": "org"}], "auth": {}})

    @route("POST", "/api/validate-yaml")
    def validate_card(self) -> None:
        head = re.match(r"---\n(.*?)\n---", self._json["content"], re.DOTALL)
        try:
            yaml.safe_load(head.group(1) if head else "")
        except yaml.YAMLError as error:
            return self._answer_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        self._answer_json({"errors": [], "warnings": []})

    @route("POST", "/api/repos/create")
    def create(self) -> None:
        wanted = self._json
        kind = wanted.get("type") or "model"
        repo_id = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        prefix = "" if kind == "model" else f"{kind}s/"
        known = (kind, repo_id) in self.hub.repositories
        self.hub.repositories.setdefault((kind, repo_id), Repository(kind, repo_id))
        answer = {"url": f"{self.hub.url}/{prefix}{repo_id}", "name": repo_id, "id": repo_id}
        self._answer_json(answer, 409 if known else 200)

    @route("DELETE", "/api/repos/delete")
    def delete(self) -> None:
        wanted = self._json
        repo_id = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        self.hub.repository(wanted.get("type") or "model", repo_id)
        del self.hub.repositories[wanted.get("type") or "model", repo_id]
        self._answer_json({})

    @route("PUT", "/api/REPO/settings")
    def settings(self, kind: str, id: str) -> None:
        self.hub.repository(kind, id)
        self._answer_json({})

    @route("POST", "/api/REPO/variables")
    def set_variable(self, kind: str, id: str) -> None:
        asked = self._json
        self.hub.repository(kind, id).variables[asked["key"]] = asked["value"]
        self._answer_json({asked["key"]: {"value": asked["value"]}})

    @route("GET", "/api/REPO(/revision/(?P<revision>[^/]+))?")
    def info(self, kind: str, id: str, revision: str = "main") -> None:
        commit = self.hub.repository(kind, id).find(revision)
        dates = {"lastModified": _iso(commit), "createdAt": _iso(commit.history()[-1])}
        counts = {"downloads": 0, "likes": 0, "private": False, "gated": False, "disabled": False, "tags": []}
        siblings = [{"rfilename": path} | _entry(path, file) for path, file in commit.files.items()]
        name = {"id": id, "modelId": id, "author": id.split("/")[0], "sha": commit.oid}
        self._answer_json(name | dates | counts | {"siblings": siblings, "cardData": _card_data(commit)})

    @route("GET", "/api/REPO/refs")
    def refs(self, kind: str, id: str) -> None:
        repository = self.hub.repository(kind, id)
        branches = [_ref(name, f"refs/heads/{name}", commit) for name, commit in repository.branches.items()]
        tags = [_ref(name, f"refs/tags/{name}", commit) for name, commit in repository.tags.items()]
        self._answer_json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})

    @route("GET", "/api/REPO/commits/(?P<revision>[^/]+)")
    def commits(self, kind: str, id: str, revision: str) -> None:
        history = self.hub.repository(kind, id).find(revision).history()
        self._answer_json(
            [{"id": c.oid, "title": c.title, "message": c.message, "date": _iso(c), "authors": []} for c in history]
        )

    @route("POST", "/api/REPO/branch/(?P<branch>[^/]+)")
    def create_branch(self, kind: str, id: str, branch: str) -> None:
        repository = self.hub.repository(kind, id)
        if branch in repository.branches:
            raise Refused(409, f"Reference already exists: {branch}")
        repository.branches[branch] = repository.find(self._json.get("startingPoint", "main"))
        self._answer_json({})

    @route("DELETE", "/api/REPO/branch/(?P<branch>[^/]+)")
    def delete_branch(self, kind: str, id: str, branch: str) -> None:
        self.hub.repository(kind, id).branches.pop(branch, None)
        self._answer_json({})

    @route("POST", "/api/REPO/tag/(?P<revision>[^/]+)")
    def create_tag(self, kind: str, id: str, revision: str) -> None:
        repository = self.hub.repository(kind, id)
        if self._json["tag"] in repository.tags:
            raise Refused(409, f"Tag reference already exists: {self._json['tag']}")
        repository.tags[self._json["tag"]] = repository.find(revision)
        self._answer_json({})

    @route("DELETE", "/api/REPO/tag/(?P<tag>[^/]+)")
    def delete_tag(self, kind: str, id: str, tag: str) -> None:
        self.hub.repository(kind, id).tags.pop(tag, None)
        self._answer_json({})

    # --- looking at files -------------------------------------------------------------------------------------------

    @route("GET", "/api/REPO/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?")
    def tree(self, kind: str, id: str, revision: str, folder: str = "") -> None:
        commit = self.hub.repository(kind, id).find(revision)
        inside = f"{folder.strip('/')}/" if folder else ""
        paths = [path for path in [*commit.files, *folders_of(list(commit.files))] if path.startswith(inside)]
        if inside and not paths:
            raise NotFound("EntryNotFound", f"{folder} does not exist on {revision}")
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            paths = [path for path in paths if "/" not in path[len(inside) :]]
        self._answer_json([_described(commit, path) for path in sorted(paths)])

    @route("POST", "/api/REPO/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, kind: str, id: str, revision: str) -> None:
        commit = self.hub.repository(kind, id).find(revision)
        known = {*commit.files, *folders_of(list(commit.files))}
        is_json = "json" in self.headers.get("Content-Type", "")
        wanted = self._json["paths"] if is_json else parse_qs(self.body.decode()).get("paths", [])
        self._answer_json([_described(commit, path) for path in wanted if path in known])

    @route("GET", r"/((?P<kind>dataset|space)s/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, id: str, revision: str, path: str, kind: str = "model") -> None:
        repository = self.hub.repository(kind, id)
        try:
            commit, file = repository.file(revision, path)
        except NotFound as missing:
            known = missing.code == "EntryNotFound"  # clients cache the absence under the commit's name
            return self._answer_missing(missing, {"X-Repo-Commit": repository.find(revision).oid} if known else {})
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
        self._answer_range(file.content, headers)

    def _answer_range(self, content: bytes, headers: dict[str, str]) -> None:
        wanted = re.match(r"bytes=(\d*)-(\d*)$", self.headers.get("Range", ""))
        if not wanted:
            return self._answer(content, 200, headers)
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(len(content), int(last) + 1) if first and last else len(content)
        if start >= len(content):
            return self._answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
        part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        self._answer(content[start:stop], 206, headers | part)

    # --- writing files ----------------------------------------------------------------------------------------------

    @route("POST", "/api/REPO/preupload/(?P<revision>[^/]+)")
    def preupload(self, kind: str, id: str, revision: str) -> None:
        commit = self.hub.repository(kind, id).find(revision)
        answers = []
        for file in self._json["files"]:
            lfs = goes_to_lfs(file["path"], base64.b64decode(file["sample"]), file["size"])
            known = commit.files.get(file["path"])
            answer = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            answers.append(answer | ({"oid": known.etag} if known else {}))
        self._answer_json({"files": answers})

    @route("POST", r"/((dataset|space)s/)?[^/]+/[^/]+\.git/info/lfs/objects/batch")
    def lfs_batch(self) -> None:
        def plan(wanted: dict) -> dict:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
            verify = {"verify": {"href": f"{self.hub.url}/lfs/{wanted['oid']}/verify"}}
            known = wanted["oid"] in self.hub.lfs
            return {"oid": wanted["oid"], "size": wanted["size"]} | ({} if known else {"actions": upload | verify})

        self._answer_json({"transfer": "basic", "objects": [plan(wanted) for wanted in self._json["objects"]]})

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
    def lfs_upload(self, oid: str) -> None:
        if StoredFile(self.body, lfs=True).sha256 != oid:
            raise Refused(400, f"the content uploaded is not {oid}")
        self.hub.lfs[oid] = self.body
        self._answer_json({})

    @route("POST", "/lfs/(?P<oid>[0-9a-f]{64})/verify")
    def lfs_verify(self, oid: str) -> None:
        if len(self.hub.lfs.get(oid, b"")) != self._json["size"]:
            raise Refused(404, f"no such upload, or of another size: {oid}")
        self._answer_json({})

    @route("POST", "/api/REPO/commit/(?P<revision>[^/]+)")
    def commit(self, kind: str, id: str, revision: str) -> None:
        repository = self.hub.repository(kind, id)
        items = [json.loads(line) for line in self.body.splitlines()]
        header = next(item["value"] for item in items if item["key"] == "header")
        if header.get("parentCommit") not in (None, repository.find(revision).oid):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        changes = dict(self._change(item["key"], item["value"]) for item in items if item["key"] != "header")
        made = repository.commit(revision, header["summary"], header.get("description", ""), changes)
        prefix = "" if kind == "model" else f"{kind}s/"
        url = f"{self.hub.url}/{prefix}{id}/commit/{made.oid}"
        self._answer_json({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})

    def _change(self, key: str, value: dict) -> tuple[str, StoredFile | None]:
        """One line of the commit's payload: path and new content; None deletes."""
        if key == "file":
            return value["path"], StoredFile(base64.b64decode(value["content"]), lfs=False)
        if key == "lfsFile":
            if value["oid"] not in self.hub.lfs:
                raise Refused(400, f"{value['path']}: LFS content {value['oid']} was never uploaded")
            return value["path"], StoredFile(self.hub.lfs[value["oid"]], lfs=True)
        if key in ("deletedFile", "deletedFolder"):
            return value["path"].rstrip("/"), None
        raise Refused(400, f"unknown operation in commit: {key}")


def _iso(commit: Commit) -> str:
    return commit.date.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _ref(name: str, ref: str, commit: Commit) -> dict:
    return {"name": name, "ref": ref, "targetCommit": commit.oid}


def _entry(path: str, file: StoredFile) -> dict:
    size = len(file.content)
    entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": file.git_oid, "blobId": file.git_oid}
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "sha256": file.sha256, "size": size, "pointerSize": len(file.pointer)}
    return entry


def _described(commit: Commit, path: str) -> dict:
    last = {"lastCommit": {"id": commit.oid, "title": commit.title, "date": _iso(commit)}}
    if path in commit.files:
        return _entry(path, commit.files[path]) | last
    return {"type": "directory", "path": path, "size": 0, "oid": commit.oid} | last


def _card_data(commit: Commit) -> dict | None:
    card = commit.files.get("README.md")
    head = re.match(r"---\n(.*?)\n---", card.content.decode(), re.DOTALL) if card else None
    return yaml.safe_load(head.group(1)) if head else None
