from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from t2s.cli import app
from t2s.doctor import diagnose, gpu_check
from t2s.doctor_check import Check
from t2s.doctor_ray import PROBE, look_at_cluster


class JobApi(ThreadingHTTPServer):
    """Answers as Ray's job API does: 401 without a token, 403 with a wrong one.

    Args:
        token: The right one; None: open to all.
        stop_wait: What a job prints of RAY_JOB_STOP_WAIT_TIME_S.
        job_status: How a job ends.
    """

    def __init__(self, token: str | None, stop_wait: str, job_status: str = "SUCCEEDED") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token, self.stop_wait, self.job_status = token, stop_wait, job_status
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: JobApi

    def _answer(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = self.headers.get("Authorization")
        status = 200
        if self.server.token is not None and given != f"Bearer {self.server.token}":
            status = 403 if given else 401
        found = {
            "/api/version": {"ray_version": "2.60.0"},
            "/api/jobs/": {"submission_id": "raysubmit_1"},
            "/api/jobs/raysubmit_1": {"status": self.server.job_status},
            "/api/jobs/raysubmit_1/logs": {"logs": f"Running entrypoint: {PROBE}\nstop-wait={self.server.stop_wait}\n"},
        }[self.path]
        body = json.dumps(found).encode() if status == 200 else b"refused"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def job_api(token: str | None, stop_wait: str = "30", job_status: str = "SUCCEEDED") -> Iterator[JobApi]:
    with JobApi(token, stop_wait, job_status) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_token_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)


def states(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.state, check.topic) for check in checks]


def test_a_guarded_patient_cluster_is_ok_and_the_probe_job_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the-token")
    with job_api("the-token") as server:
        checks = list(look_at_cluster(server.url))
        assert server.requests[-1] == "DELETE /api/jobs/raysubmit_1"
    assert states(checks) == [("ok", "ray"), ("ok", "ray token"), ("ok", "ray jobs")]
    assert "a stopped one has 30 s" in checks[2].text
    assert "the-token" not in str(checks)


def test_an_open_cluster_fails_and_says_how_to_close_it() -> None:
    with job_api(None) as server:
        checks = list(look_at_cluster(server.url))
    assert states(checks) == [("ok", "ray"), ("fail", "ray token"), ("ok", "ray jobs")]
    assert "RAY_AUTH_MODE=token" in checks[1].text


def test_a_cluster_that_wants_a_token_we_lack_or_have_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with job_api("the-token") as server:
        (missing,) = look_at_cluster(server.url)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
        (wrong,) = look_at_cluster(server.url)
    assert (missing.state, missing.topic) == ("warn", "ray token")
    assert "set RAY_AUTH_TOKEN" in missing.text
    assert (wrong.state, wrong.topic) == ("fail", "ray token")
    assert "another" not in wrong.text


def test_a_cluster_that_kills_a_stopped_job_after_3_seconds_is_warned_about() -> None:
    with job_api(None, stop_wait="3") as server:
        *_, jobs = look_at_cluster(server.url)
    assert (jobs.state, jobs.topic) == ("warn", "ray jobs")
    assert "RAY_JOB_STOP_WAIT_TIME_S=30" in jobs.text


def test_a_cluster_whose_jobs_fail_fails() -> None:
    with job_api(None, job_status="FAILED") as server:
        *_, jobs = look_at_cluster(server.url)
    assert (jobs.state, jobs.topic) == ("fail", "ray jobs")


def test_a_cluster_that_is_not_there_fails_in_one_line() -> None:
    with job_api(None) as server:
        url = server.url
    (check,) = look_at_cluster(url)
    assert check.state == "fail"
    assert "not reachable" in check.text
    (other,) = look_at_cluster("ray://head:10001")
    assert (other.state, "http://HOST:8265" in other.text) == ("warn", True)


@pytest.mark.parametrize(
    ("row", "state", "words"),
    [
        ("NVIDIA A10, 580.95.05, 23028, 4", "ok", "23024 of 23028 MiB free"),
        ("NVIDIA A10, 550.54.15, 23028, 4", "fail", "R580 line or newer"),
        ("NVIDIA A10, 580.95.05, 23028, 21000", "warn", "something else is using it"),
    ],
)
def test_a_gpu_is_judged_by_its_driver_and_its_free_memory(row: str, state: str, words: str) -> None:
    check = gpu_check(0, row)
    assert check.state == state
    assert words in check.text


def test_a_store_that_can_be_written_is_ok_and_one_that_cannot_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    good = {check.topic: check for check in diagnose({}, str(tmp_path / "run"), None)}
    assert good["store"].state == "ok"
    assert {"python", "environment", "gpu", "memory", "cores", "disk"} <= set(good)
    bad = {check.topic: check for check in diagnose({"run_uri": str(tmp_path / "file" / "run")}, None, None)}
    assert bad["store"].state == "fail"


def test_an_s3_store_without_credentials_is_warned_about_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    checks = diagnose({}, "s3://bucket/run", None)
    found = next(check for check in checks if check.topic == "s3 variables")
    assert (found.state, found.text) == ("warn", "set: AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    found = next(check for check in diagnose({}, "s3://bucket/run", None) if check.topic == "s3 variables")
    assert (found.state, found.text) == ("ok", "set: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL")


def test_the_command_prints_a_line_a_thing_and_exits_with_1_where_something_fails(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path / "run")])
    assert "ok    python        3.1" in shown.output
    (tmp_path / "file").touch()
    shown = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path / "file" / "run")])
    assert shown.exit_code == 1
    assert "fail  store" in shown.output
