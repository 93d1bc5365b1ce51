"""Download on a real cluster: what was published is brought into the cache of each node that jobs run on."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from t2s.storage import open_store
from tests.cluster.ray_cluster import ROOT, RayCluster
from tests.download.small_model import small_model
from tests.servers import S3Server
from tests.storage.conftest import use

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]

FILES = small_model()


def run(cluster: RayCluster, s3: S3Server, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/download.py", *words]
    env = {**cluster.environment, **s3.env}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)


def test_a_published_model_is_in_the_nodes_caches_when_the_job_ends(
    cluster: RayCluster, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.env)
    folder = tmp_path / "small-model"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    uri = f"s3://{s3_server.bucket}/{uuid.uuid4().hex}"
    words = [f"source={folder}", f"models_uri={uri}/models", f"run_uri={uri}/run", "warm=true"]
    done = run(cluster, s3_server, *words, f"cache_dir={tmp_path / 'cache'}")
    assert done.returncode == 0, done.stderr
    assert "warming the caches of 1 nodes" in done.stderr, "the head offers no environment of a job"
    assert f"1 folders are in {tmp_path / 'cache'}" in done.stderr
    [copy] = (tmp_path / "cache" / "folders").iterdir()
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.name != "manifest.json"} == FILES
    assert s3_server.env["AWS_SECRET_ACCESS_KEY"] not in done.stderr

    published = done.stdout.removeprefix("published: ").strip()
    open_store(published).write(
        "model-00001-of-00002.safetensors", bytes(len(FILES["model-00001-of-00002.safetensors"]))
    )
    again = run(cluster, s3_server, *words, f"cache_dir={tmp_path / 'another'}")
    assert again.returncode == 1
    assert "error: 1 of 1 nodes have not got all: " in again.stderr
    assert "model-00001-of-00002.safetensors: wanted the bytes that its manifest.json promises" in again.stderr
