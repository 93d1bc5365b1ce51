"""The stores that the contract holds for."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from t2s.storage import Store, open_store
from tests.servers import S3Server


def use(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """Let boto3 find a server, and nothing of the machine's own."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(
    params=[
        "local",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("s3_tls", marks=pytest.mark.s3),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that holds nothing yet, and whose neighbour holds something."""
    if request.param == "local":
        parent = str(tmp_path / "stores")
    else:
        server: S3Server = request.getfixturevalue(f"{request.param}_server")
        use(monkeypatch, server.env)
        parent = f"s3://{server.bucket}/{uuid.uuid4().hex}"
    open_store(f"{parent}/run-10").write("a", b"of the neighbour run-10")
    return open_store(f"{parent}/run-1")
