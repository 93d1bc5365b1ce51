from __future__ import annotations

import socket
import time

import pytest

from t2s.cluster.job_api import probe, resolve_address
from t2s.errors import ClusterError, SettingsError


@pytest.fixture(autouse=True)
def no_cluster_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_the_address_is_the_one_given_then_the_environments_then_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_address("http://head:8265/") == "http://head:8265"
    assert resolve_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    assert resolve_address(None) == "http://other:8265"


def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="wanted the URL of the head's dashboard, http://HOST:8265, found 'head:6379'"
    ):
        resolve_address("head:6379")


def test_an_address_that_the_environment_would_override_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    with pytest.raises(SettingsError, match="unset RAY_ADDRESS"):
        resolve_address("http://head:8265")


def test_where_nobody_listens_the_error_says_what_to_look_at() -> None:
    with pytest.raises(
        ClusterError, match=r"http://127\.0\.0\.1:1: wanted a Ray dashboard, found no answer .*port-forward"
    ):
        probe("http://127.0.0.1:1", {})


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ClusterError, match="found no answer"):
            probe(f"http://127.0.0.1:{silent.getsockname()[1]}", {}, timeout_s=0.5)
        assert 0.5 <= time.monotonic() - began < 5
