"""`t2s submit`, `logs` and `stop` against a real, token-guarded cluster, with everything in a real S3 server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.storage import open_store
from tests.cluster.ray_cluster import ROOT, RayCluster, wait_for
from tests.servers import S3Server
from tests.small_dataset import write_dataset

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]


class Submitter:
    """Runs `t2s` as a user does, from a checkout, with a token and S3's variables."""

    def __init__(self, cluster: RayCluster, variables: dict[str, str]) -> None:
        self.cluster = cluster
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "T2S_", "AWS_"))}
        self.environment = {**inherited, "RAY_AUTH_TOKEN": cluster.token, "PYTHONPATH": str(ROOT), **variables}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str, address: str | None = None, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "t2s.cli", *words, "--address", address or self.cluster.api_address]
        environment = {**self.environment, **variables}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._started.append(process)
        return process

    def run(self, *words: str, address: str | None = None, **variables: str) -> tuple[int, str]:
        process = self.start(*words, address=address, **variables)
        output = process.communicate(timeout=200)[0]
        return process.returncode, output

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def submitter(cluster: RayCluster, s3: S3Server) -> Iterator[Submitter]:
    submitter = Submitter(cluster, s3.env)
    yield submitter
    submitter.close()


def words_of(run_uri: str, dataset_uri: str, *settings: str) -> list[str]:
    return [
        "submit", "predict", "configs/predict_rehearsal.yaml", f"run_uri={run_uri}", f"dataset_uri={dataset_uri}",
        "executor.kind=ray", f"ray.py_executable={sys.executable}", "ray.num_cpus_per_engine=0.1", *settings,
    ]  # fmt: skip


@pytest.mark.s3
def test_a_run_with_all_its_data_in_s3_is_submitted_followed_and_stopped_and_resumed(
    submitter: Submitter, s3: S3Server, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "dataset")
    base = f"s3://{s3.bucket}/submit"
    store = open_store(base)
    for path in sorted(file for file in (tmp_path / "dataset").rglob("*") if file.is_file()):
        store.upload(path, f"dataset/{path.relative_to(tmp_path / 'dataset').as_posix()}")
    run_uri = f"{base}/run"
    words = words_of(
        run_uri, f"{base}/dataset", "shard_turns=6", "max_interactions=3", "engine.scripted.delay_s=0.5", "limit=null"
    )
    submission = submitter.start(*words)
    run = open_store(run_uri)
    wait_for(lambda: any(info.key.endswith(".done") for info in run.list("predictions/")), 200, "a committed shard")

    code, output = submitter.run(*words, "--detach")
    assert code == 0, output
    [name] = re.findall(r"runs already, as (t2s-predict-[0-9a-f]{8}-1)", output)
    began = time.monotonic()
    code, output = submitter.run("stop", run_uri)
    assert (code, f"{name}: STOPPED" in output) == (0, True), output
    assert time.monotonic() - began < 30
    followed = submission.communicate(timeout=60)[0]
    assert submission.returncode == 3, followed
    assert "error: stopped" in followed, followed
    committed = {info.key: info.version for info in run.list("predictions/") if info.key.endswith(".done")}
    assert json.loads(run.read("predict/status.json"))["state"] == "stopped", "Ray left the job its 20 s"

    code, output = submitter.run(*words[:-1], "engine.scripted.delay_s=0")
    assert code == 0, output
    assert f"{name.removesuffix('1')}2" in output
    assert "72 turns, 0 with an error" in output
    assert committed.items() <= {info.key: info.version for info in run.list("predictions/")}.items()
    assert sum(map(len, json.loads(run.read("predictions.json")))) == 72

    everything = [submitter.run("logs", run_uri)[1].encode(), submitter.cluster.get("/api/jobs/")]
    everything += [path.read_bytes() for path in submitter.cluster.folder.rglob("*.log") if path.is_file()]
    everything += [path.read_bytes() for path in submitter.cluster.folder.rglob("*.out") if path.is_file()]
    assert b"turns, 0 with an error" in everything[0]
    assert not any(s3.env["AWS_SECRET_ACCESS_KEY"].encode() in text for text in everything), "no log holds the secret"


def test_the_drivers_own_exit_code_comes_back(submitter: Submitter, tmp_path: Path) -> None:
    words = words_of(f"{tmp_path}/run", f"{tmp_path}/没有.json", f"databases_uri={tmp_path}")
    code, output = submitter.run(*words)
    assert code == 2, output
    assert len(re.findall(r"^error: .*没有\.json", output, re.MULTILINE)) == 1, output


@pytest.mark.parametrize(
    ("token", "found"), [("", "found none"), ("0" * 32, "found one that it does not know")], ids=["none", "wrong"]
)
def test_without_the_right_token_nothing_is_submitted(
    submitter: Submitter, tmp_path: Path, token: str, found: str
) -> None:
    before = submitter.cluster.get("/api/jobs/")
    code, output = submitter.run(*words_of(f"{tmp_path}/run", "data.json"), RAY_AUTH_TOKEN=token)
    assert code == 1, output
    assert re.search(rf"^error: .*wants its token, {found}: set RAY_AUTH_TOKEN", output, re.MULTILINE), output
    assert submitter.cluster.get("/api/jobs/") == before


@pytest.mark.parametrize("words", [("logs", "t2s-predict-00000000-1"), ("stop", "s3://nirgends/run")])
def test_a_job_that_is_not_there_is_an_error_that_names_those_that_are(
    submitter: Submitter, words: tuple[str, ...]
) -> None:
    code, output = submitter.run(*words)
    assert code == 1
    assert re.search(rf"^error: {words[1]}: wanted a submission_id or the run_uri", output, re.MULTILINE), output
