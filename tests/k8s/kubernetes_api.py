"""As much of a Kubernetes API server as kubectl asks for RayJobs and their logs; the test plays the operator.

It refuses what the CRD and the operator refuse (tests/k8s/schemas.py). What kubectl sends is real, the cluster is not.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.k8s.rendering import Object
from tests.k8s.schemas import faults

_RAY_JOBS = "/apis/ray.io/v1/namespaces/t2s/rayjobs"
_DISCOVERY: dict[str, Object] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {"name": name, "versions": [version], "preferredVersion": version}
            for name in ("ray.io", "batch")
            for version in [{"groupVersion": f"{name}/v1", "version": "v1"}]
        ],
    },
    **{
        path: {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": [
                {"name": name, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": ["get", "list"]}
            ],
        }
        for path, version, name, kind in (
            ("/apis/ray.io/v1", "ray.io/v1", "rayjobs", "RayJob"),
            ("/apis/batch/v1", "batch/v1", "jobs", "Job"),
            ("/api/v1", "v1", "pods", "Pod"),
        )
    },
}


class KubernetesApi:
    """A server on 127.0.0.1; `kubeconfig` leads kubectl to it.

    Attributes:
        ray_jobs: What was created, by name; a test writes `status` as the operator would.
        logs: Lines of a RayJob's submitter, by its name; none: its pod has not started.
        log_ended: Set when the submitter's log is complete.
    """

    def __init__(self, folder: Path, schemas: Path) -> None:
        self.ray_jobs: dict[str, Object] = {}
        self.logs: dict[str, list[str]] = {}
        self.log_ended = threading.Event()
        self.schemas = schemas
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        }
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")

    def set_status(self, name: str, deployment: str, job: str = "", message: str = "") -> None:
        """What the operator reports."""
        self.ray_jobs[name]["status"] = {"jobDeploymentStatus": deployment, "jobStatus": job, "message": message}

    def close(self) -> None:
        self.log_ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: KubernetesApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        name = url.path.rpartition("/")[2]
        if url.path == "/openapi/v2":
            self._send_bytes(b"", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        elif url.path in _DISCOVERY:
            self._send(200, {"apiVersion": "v1", **_DISCOVERY[url.path]})
        elif url.path == _RAY_JOBS:
            key, _, value = query.get("labelSelector", "").partition("=")
            items = [one for one in self.api.ray_jobs.values() if one["metadata"]["labels"].get(key) == value]
            self._send(200, {"apiVersion": "ray.io/v1", "kind": "RayJobList", "metadata": {}, "items": items})
        elif url.path == f"{_RAY_JOBS}/{name}" and name in self.api.ray_jobs:
            self._send(200, self.api.ray_jobs[name])
        elif url.path == f"/apis/batch/v1/namespaces/t2s/jobs/{name}" and name in self.api.ray_jobs:
            spec = {"selector": {"matchLabels": {"job-name": name}}, "template": {}}
            self._send(
                200,
                {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "t2s"}, "spec": spec},
            )
        elif url.path == "/api/v1/namespaces/t2s/pods":
            wanted = query.get("labelSelector", "").partition("=")[2]
            items = [self._pod(one) for one in self.api.logs if one == wanted]
            self._send(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
        elif url.path.startswith("/api/v1/namespaces/t2s/pods/") and name == "log":
            self._send_log(url.path.split("/")[-2], "sinceTime" in query)
        elif url.path.startswith("/api/v1/namespaces/t2s/pods/") and name in self.api.logs:
            self._send(200, self._pod(name))
        else:
            self._refuse(404, "NotFound", f"{url.path} not found")

    def do_POST(self) -> None:
        one = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = one["metadata"]["name"]
        found = faults(one, self.api.schemas)
        if found:
            self._refuse(422, "Invalid", "; ".join(found))
        elif name in self.api.ray_jobs:
            self._refuse(409, "AlreadyExists", f"{name} already exists")
        else:
            self.api.ray_jobs[name] = one
            self._send(201, one)

    def _pod(self, name: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "t2s", "labels": {"job-name": name}},
            "spec": {"containers": [{"name": "submitter", "image": "t2s-base:0.1.0"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }

    def _send_log(self, name: str, only_new: bool) -> None:
        """Lines as they come, to the end."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        num_sent = len(self.api.logs[name]) if only_new else 0
        while True:
            ended = self.api.log_ended.is_set()
            for line in self.api.logs[name][num_sent:]:
                num_sent += 1
                body = f"{line}\n".encode()
                self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
            self.wfile.flush()
            if ended:
                break
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, code: int, reason: str, message: str) -> None:
        self._send(
            code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
        )

    def _send(self, code: int, body: Object) -> None:
        self._send_bytes(json.dumps(body, ensure_ascii=False).encode(), "application/json", code)

    def _send_bytes(self, body: bytes, content_type: str, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
