"""Transfers with their verification against boto3's bare transfer manager, and their memory, on this machine."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from scripts.bench.transfer_bench import MB, measure, peak_mb, write_random
from t2s.storage import open_store
from tests.servers import S3Server
from tests.storage.conftest import use

pytestmark = [pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_verified_transfers_reach_0_85_of_bare_ones(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.env)
    write_random(tmp_path / "file", 512 * MB)
    store = open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
    found = measure(store, tmp_path / "file", tmp_path, repeats=5)
    (tmp_path / "file").unlink()
    assert {way: passes.ratio > 0.85 for way, passes in found.items()} == {"up": True, "down": True}, found


@pytest.mark.parametrize("size_mb", [500, 3000])
def test_memory_is_below_400_mb_for_any_size(
    size_mb: int, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.env)
    write_random(tmp_path / "file", size_mb * MB)
    peaks = peak_mb(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}", tmp_path / "file", tmp_path)
    (tmp_path / "file").unlink()
    assert max(peaks.values()) < 400, peaks
