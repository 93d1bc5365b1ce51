"""The part of `t2s doctor` that asks a cluster's job API (plain HTTP; Ray itself is not imported).

Whoever reaches an unguarded job API runs code on the cluster, and Ray leaves it open unless told otherwise.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from t2s.doctor_check import Check
from t2s.settings import ray_token

MIN_STOP_WAIT_S = 20
"""A stopped job needs up to 20 s to commit what is complete; Ray kills it after 3 s unless it is told to wait."""

PROBE = "echo stop-wait=${RAY_JOB_STOP_WAIT_TIME_S:-3}"
_PROBE_TIMEOUT_S = 120.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Answer(NamedTuple):
    status: int
    body: bytes


def look_at_cluster(address: str) -> Iterator[Check]:
    """Reachable, guarded by a token, our token right, patient at stop; the last by a job that prints one variable.

    Args:
        address: The job API, e.g. `http://127.0.0.1:8265`.
    """
    url = urlsplit(address)
    if url.scheme not in ("http", "https"):
        yield Check("warn", "ray", f"{address}: only the job API can be asked from here; give it as http://HOST:8265")
        return
    address = address.rstrip("/")
    try:
        open_answer = _ask(address, "/api/version", token=None)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        text = f"{address}: not reachable ({reason}); is the head up, and its port 8265 forwarded to here?"
        yield Check("fail", "ray", text)
        return
    if open_answer.status == 200:
        yield Check("ok", "ray", f"{address}: reachable, Ray {_json(open_answer).get('ray_version', '?')}")
        text = "open: whoever reaches it runs code there; start the cluster with RAY_AUTH_MODE=token"
        yield Check("fail", "ray token", text)
        yield from _patience(address, None)
        return
    if open_answer.status != 401:
        yield Check("fail", "ray", f"{address}: wanted Ray's job API, found HTTP {open_answer.status}")
        return
    token = ray_token()
    if token is None:
        yield Check("warn", "ray token", f"{address} asks for a token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")
        return
    answer = _ask(address, "/api/version", token)
    if answer.status != 200:
        yield Check(
            "fail", "ray token", f"{address} refuses the token that is set (HTTP {answer.status}); take the head's"
        )
        return
    yield Check("ok", "ray", f"{address}: reachable, Ray {_json(answer).get('ray_version', '?')}")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        text = (
            "guarded, but the token crosses the network unencrypted; use a tunnel (ssh -L 8265:localhost:8265) or https"
        )
        yield Check("warn", "ray token", text)
    else:
        yield Check("ok", "ray token", "guarded: without the token 401, with it 200")
    yield from _patience(address, token)


def _patience(address: str, token: str | None) -> Iterator[Check]:
    submitted = _ask(address, "/api/jobs/", token, {"entrypoint": PROBE, "metadata": {"name": "t2s doctor"}})
    if submitted.status != 200:
        text = f"a job that prints one variable was refused (HTTP {submitted.status}): {submitted.body[:200]!r}"
        yield Check("fail", "ray jobs", text)
        return
    job = f"/api/jobs/{_json(submitted)['submission_id']}"
    deadline = time.monotonic() + _PROBE_TIMEOUT_S
    status = _status(address, job, token)
    while status in ("PENDING", "RUNNING") and time.monotonic() < deadline:
        time.sleep(0.5)
        status = _status(address, job, token)
    if status != "SUCCEEDED":
        text = f"a job that prints one variable ended as {status}; `ray status` on the head shows what is missing"
        yield Check("fail", "ray jobs", text)
        return
    # The log can be a moment behind the status; its first lines quote the command itself.
    printed = None
    deadline = time.monotonic() + 10
    while printed is None and time.monotonic() < deadline:
        printed = re.search(
            r"^stop-wait=(\d+)$", str(_json(_ask(address, f"{job}/logs", token)).get("logs")), re.MULTILINE
        )
        time.sleep(0.0 if printed else 0.5)
    _ask(address, job, token, method="DELETE")
    if printed is None:
        yield Check(
            "fail", "ray jobs", "a job that prints one variable has nothing in its log; look at the dashboard agent"
        )
        return
    found = printed[1]
    if int(found) >= MIN_STOP_WAIT_S:
        yield Check("ok", "ray jobs", f"run; a stopped one has {found} s to commit what is complete")
        return
    text = f"run, but a stopped one is killed after {found} s; start the head with RAY_JOB_STOP_WAIT_TIME_S=30"
    yield Check("warn", "ray jobs", text)


def _status(address: str, job: str, token: str | None) -> str:
    return str(_json(_ask(address, job, token)).get("status"))


def _ask(
    address: str, path: str, token: str | None, body: dict[str, Any] | None = None, method: str | None = None
) -> _Answer:
    request = urllib.request.Request(address + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    # A proxy that is set for the outer world cannot reach this machine's own loopback.
    handlers = [urllib.request.ProxyHandler({})] if urlsplit(address).hostname in _LOOPBACK else []
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=15) as answer:
            return _Answer(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(error.code, error.read())


def _json(answer: _Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
