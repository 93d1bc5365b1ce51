"""What tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of data beside the checkout (`../shared`); the test is skipped where there is none."""
    if not _SHARED.is_dir():
        pytest.skip("needs the data beside the checkout (../shared)")
    return _SHARED


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server over HTTP; a test that kills or pauses it starts one of its own instead."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The same over TLS, with a certificate of `server.ca_file`."""
    with S3Server(tmp_path_factory.mktemp("s3_tls"), tls=True) as server:
        yield server
