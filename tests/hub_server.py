"""A local hub that speaks ModelScope's and Hugging Face's HTTP API as their clients use it, and misbehaves on demand.

    with HubServer(Repo("LLM-Research/tiny", files)) as hub:
        hub.troubles.add(Trouble("cdn", "model*", cut_after=100_000), times=3)

Written after what modelscope_hub 0.5.1 (modelscope 1.40.2) and huggingface_hub 1.33.0 ask, and what users of the real
hubs have recorded of their answers. Big files are answered by a redirect to a signed address on another host name
(localhost instead of 127.0.0.1), which must never be told the token; small ones of ModelScope come without ranges.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.hub_server_repos import Entry, Repo, git_sha1, sha256
from tests.hub_server_troubles import Kind, Served, Trouble, Troubles

_BLOCK = 64 * 1024
_PAGE = 1000


class HubServer:
    """The hub, on a free port of 127.0.0.1, in threads of this process."""

    def __init__(self, *repos: Repo, page_size: int = _PAGE) -> None:
        self.repos = {(repo.kind, repo.name): repo for repo in repos}
        self.troubles = Troubles()
        self.page_size = page_size
        self.closing = threading.Event()
        self.blobs: dict[str, bytes] = {}
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def signed(self, entry: Entry, expired: bool) -> str:
        digest = sha256(entry.data)
        self.blobs[digest] = entry.data
        query = urllib.parse.urlencode({"Expires": int(time.time()) + (-60 if expired else 600), "name": entry.path})
        return f"http://localhost:{self.port}/cdn/{digest}?{query}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out apart: 40 ms for each answer otherwise
    server_hub: HubServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._answer()

    def _answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        path = urllib.parse.unquote(url.path).strip("/")
        parts = path.split("/")
        if parts[0] == "cdn":
            self._cdn(parts[1], query)
        elif path == "api/v1/repos/internalAccelerationInfo":
            self._json("info", {"Code": 200, "Data": {}, "Success": True})
        elif parts[:2] == ["api", "v1"] and parts[2] in ("models", "datasets"):
            self._modelscope(parts[2].removesuffix("s"), "/".join(parts[3:5]), "/".join(parts[5:]), query)
        elif parts[0] == "api" and parts[1] in ("models", "datasets"):
            self._huggingface_api(parts[1].removesuffix("s"), "/".join(parts[2:4]), parts[4:], query)
        else:
            kind = "dataset" if parts[0] == "datasets" else "model"
            parts = parts[1:] if kind == "dataset" else parts
            self._huggingface_file(kind, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    # ModelScope ------------------------------------------------------------------------------------------------------

    def _modelscope(self, kind: str, name: str, rest: str, query: dict[str, str]) -> None:
        repo = self._repo(kind, name)
        cookie = f"m_session_id={repo.token}" if repo and repo.token else ""
        if repo is None or (cookie and cookie not in self.headers.get("Cookie", "")):
            body = {"Code": 10010205001, "Message": "record not found", "RequestId": "r-1", "Success": False}
            self._json("info", body, status=404)
            return
        if rest == "":
            facts = {
                "Name": name.split("/")[1],
                "Path": name.split("/")[0],
                "License": repo.licence,
                "Id": 7,
                "Type": 4,
            }
            self._json("info", {"Code": 200, "Data": facts, "Success": True})
        elif rest in ("repo/files", "repo/tree"):
            self._modelscope_list(repo, query)
        elif rest == "revisions":
            revisions = {"Branches": [{"Revision": "master", "CreatedAt": 1713400000}], "Tags": []}
            self._json("info", {"Code": 200, "Data": {"RevisionMap": revisions}, "Success": True})
        elif rest == "repo":
            self._file(repo, query["Revision"], query["FilePath"], {}, ranges=False)
        else:
            self._json("info", {"Code": 404, "Message": f"no {rest}", "Success": False}, status=404)

    def _modelscope_list(self, repo: Repo, query: dict[str, str]) -> None:
        trouble = self.server_hub.troubles.take("list", "")
        commit = repo.resolve(query.get("Revision", "master"))
        if commit is None:
            body = {"Code": 10010204999, "Message": "revision not found", "Success": False}
            self._json("list", body, status=404)
            return
        files: list[dict[str, Any]] = [
            {"Type": "tree", "Path": folder, "Name": folder.split("/")[-1], "Size": 0, "Sha256": "", "Revision": commit}
            for folder in repo.folders(commit)
        ]
        for entry in _listed(repo, commit, trouble):
            files.append(
                {
                    "Type": "blob", "Path": entry.path, "Name": entry.path.split("/")[-1], "Mode": "33188",
                    "Size": len(entry.data) + (trouble is not None and trouble.grown == entry.path),
                    "Sha256": sha256(entry.data), "Revision": entry.revision, "IsLFS": entry.is_lfs,
                    "CommittedDate": 1713400000, "CommitId": entry.revision, "InCheck": False,
                }
            )  # fmt: skip
        if query.get("Recursive") == "False":
            files = [file for file in files if "/" not in file["Path"]]
        if "PageNumber" in query:
            size, number = int(query["PageSize"]), int(query["PageNumber"])
            files = files[size * (number - 1) : size * number]
        latest = {"Id": "", "ShortId": commit[:8], "ParentIds": []}
        data = {"Files": files, "IsVisual": 1, "LatestCommitter": latest}
        self._json("list", {"Code": 200, "Data": data, "Message": "success", "Success": True}, trouble=trouble)

    # Hugging Face ----------------------------------------------------------------------------------------------------

    def _huggingface_api(self, kind: str, name: str, rest: list[str], query: dict[str, str]) -> None:
        if rest[:1] == ["resolve-cache"]:
            self._huggingface_file(kind, name, rest[1], "/".join(rest[2:]), cached=True)
            return
        repo = self._readable(kind, name)
        if repo is None:
            return
        commit = repo.resolve(rest[1]) if len(rest) > 1 else repo.head
        if commit is None:
            self._json("info", {"error": "Invalid rev id"}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        elif rest[:1] == ["tree"]:
            self._huggingface_tree(repo, commit, query)
        else:
            card = {"license": repo.licence}
            siblings = [{"rfilename": entry.path} for entry in repo.tree(commit) or []]
            facts = {"_id": "1", "id": name, "modelId": name, "sha": commit, "private": False, "gated": False}
            facts |= {"tags": [f"license:{repo.licence}"], "cardData": card, "siblings": siblings, "downloads": 1}
            self._json("info", facts)

    def _huggingface_tree(self, repo: Repo, commit: str, query: dict[str, str]) -> None:
        trouble = self.server_hub.troubles.take("list", "")
        tree: list[dict[str, Any]] = [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in repo.folders(commit)
        ]
        for entry in _listed(repo, commit, trouble):
            size = len(entry.data) + (trouble is not None and trouble.grown == entry.path)
            file = {"type": "file", "oid": git_sha1(entry.data), "size": size, "path": entry.path}
            if entry.is_lfs:
                file |= {"lfs": {"oid": sha256(entry.data), "size": size, "pointerSize": 134}}
            tree.append(file)
        start, size = int(query.get("cursor", "0")), self.server_hub.page_size
        headers = {}
        if start + size < len(tree):
            url = f"{self.server_hub.endpoint}{urllib.parse.urlsplit(self.path).path}?cursor={start + size}"
            headers["Link"] = f'<{url}>; rel="next"'
        self._json("list", tree[start : start + size], trouble=trouble, headers=headers)

    def _huggingface_file(self, kind: str, name: str, revision: str, path: str, *, cached: bool = False) -> None:
        repo = self._readable(kind, name)
        if repo is None:
            return
        commit = repo.resolve(revision)
        entry = repo.file(revision, path)
        if commit is None or entry is None:
            code = "RevisionNotFound" if commit is None else "EntryNotFound"
            self._json("file", {"error": code}, status=404, headers={"X-Error-Code": code})
            return
        tag = sha256(entry.data) if entry.is_lfs else git_sha1(entry.data)
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(entry.data)), "X-Linked-Etag": f'"{tag}"'}
        headers["ETag"] = f'"{tag}"'
        if not entry.is_lfs and not cached:  # small files come by a redirect on the same host
            target = f"/api/{kind}s/{name}/resolve-cache/{commit}/{urllib.parse.quote(path)}"
            self._start(307, {**headers, "Location": target, "Content-Length": "0"})
            return
        self._file(repo, commit, path, headers, ranges=True)

    def _readable(self, kind: str, name: str) -> Repo | None:
        """The repository if it is there and its reader has the token; None when that was answered."""
        repo = self._repo(kind, name)
        if repo is None:
            self._json("info", {"error": "not found"}, status=401, headers={"X-Error-Code": "RepoNotFound"})
        elif repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
            self._json("info", {"error": "restricted"}, status=403, headers={"X-Error-Code": "GatedRepo"})
            return None
        return repo

    # Both ------------------------------------------------------------------------------------------------------------

    def _repo(self, kind: str, name: str) -> Repo | None:
        return self.server_hub.repos.get((kind, name))

    def _file(self, repo: Repo, revision: str, path: str, headers: dict[str, str], *, ranges: bool) -> None:
        entry = repo.file(revision, path)
        if entry is None:
            self._json("file", {"Code": 404, "Message": "file not found", "Success": False}, status=404)
            return
        if not entry.is_lfs:
            self._bytes("file", path, entry.data, headers, ranges=ranges)
            return
        trouble = self.server_hub.troubles.take("file", path)
        if trouble is not None and trouble.status:
            self._json("file", {"error": "trouble"}, status=trouble.status, headers=dict(trouble.headers), name=path)
            return
        location = self.server_hub.signed(entry, expired=trouble is not None and trouble.expired)
        self._log("file", path, 302, 0, 0)
        self._start(302, {**headers, "Location": location, "Content-Length": "0"})

    def _cdn(self, digest: str, query: dict[str, str]) -> None:
        name = query["name"]
        if int(query["Expires"]) < time.time():
            body = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"
            self._log("cdn", name, 403, 0, 0)
            self._start(403, {"Content-Type": "application/xml", "Content-Length": str(len(body))})
            self.wfile.write(body)
            return
        self._bytes("cdn", name, self.server_hub.blobs[digest], {}, ranges=True)

    def _bytes(self, kind: Kind, name: str, data: bytes, headers: dict[str, str], *, ranges: bool) -> None:
        trouble = self.server_hub.troubles.take(kind, name) or Trouble(kind)
        if trouble.status:
            self._json(kind, {"error": "trouble"}, status=trouble.status, headers=dict(trouble.headers), name=name)
            return
        if trouble.flip:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        start, status = 0, 200
        wanted = self.headers.get("Range")
        if wanted and ranges:
            start, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
        if self.command == "GET":
            self.server_hub.troubles.asked.append((name, start))
        if status == 206:
            if start >= len(data):
                self._log(kind, name, 416, start, 0)
                self._start(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
                return
            headers = {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        number = self._log(kind, name, status, start, 0)
        self._start(status, {**headers, "Content-Length": str(len(data) - start), "Accept-Ranges": "bytes"})
        if self.command == "GET":
            self._send(data, start, trouble, number)

    def _send(self, data: bytes, start: int, trouble: Trouble, number: int) -> None:
        """Send the body as the trouble wants it; bytes count before they leave, so the receiver finds them counted."""
        limits = [limit for limit in (trouble.cut_after, trouble.stall_after) if limit >= 0]
        end = min([len(data), *(start + limit for limit in limits)])
        block = int(min(_BLOCK, max(trouble.bytes_per_s / 20, 1))) if trouble.bytes_per_s else _BLOCK
        at = start
        while at < end:
            up_to = min(at + block, end)
            self.server_hub.troubles.count(number, up_to - start)
            self.wfile.write(data[at:up_to])
            at = up_to
            if trouble.bytes_per_s:
                time.sleep(block / trouble.bytes_per_s)
        if trouble.stall_after >= 0:
            self.server_hub.closing.wait(120)
        if end < len(data):
            self.close_connection = True

    def _json(
        self,
        kind: Kind,
        body: object,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        trouble: Trouble | None = None,
        name: str = "",
    ) -> None:
        trouble = trouble or (self.server_hub.troubles.take(kind, name) if kind == "info" else None)
        if trouble is not None and trouble.status:
            status, headers, body = trouble.status, dict(trouble.headers), {"error": "trouble"}
        data = json.dumps(body).encode()
        self._log(kind, name, status, 0, 0)
        self._start(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        if self.command == "GET":
            self.wfile.write(data)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _log(self, kind: Kind, name: str, status: int, start: int, sent: int) -> int:
        host = self.headers.get("Host", "").partition(":")[0]
        authorized = bool(self.headers.get("Authorization") or self.headers.get("Cookie"))
        return self.server_hub.troubles.served(Served(kind, name, status, start, sent, host, authorized))


def _listed(repo: Repo, commit: str, trouble: Trouble | None) -> list[Entry]:
    return [entry for entry in repo.tree(commit) or [] if trouble is None or entry.path != trouble.left_out]
