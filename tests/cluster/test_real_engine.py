"""The real vLLM through a submitted job, all data in the real S3 server, and everything goes wrong at once.

About 10 minutes on two idle cores, most of it starts of the engine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2s.engine.lifeline_watch import VARIABLE
from t2s.storage import open_store
from tests.cluster.ray_cluster import ROOT, RayCluster, wait_for
from tests.cluster.test_submit import Submitter
from tests.servers import S3Server

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

PREDICT_PYTHON = ROOT / ".venvs" / "predict-cpu" / "bin" / "python"
MODEL = ROOT / "models" / "smollm2-135m-instruct"
NUM_INTERACTIONS = 16


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server of this test's own, since it is stopped on the way."""
    for needed in (PREDICT_PYTHON, MODEL, ROOT / "data" / "sample"):
        if not needed.exists():
            pytest.skip(f"{needed.relative_to(ROOT)} is not there: make demo-predict makes it")
    with S3Server(tmp_path / "s3") as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


def engine_processes() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and VARIABLE + b"=" in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_the_real_engine_on_a_cluster_survives_a_killed_actor_a_stopped_store_and_a_second_driver(
    cluster: RayCluster, server: S3Server
) -> None:
    base = f"s3://{server.bucket}/real"
    store = open_store(base)
    source = ROOT / "data" / "sample" / "test_data"
    for path in [source / "test.json", *(source / "database").glob("*.sqlite")]:
        store.upload(path, f"data/{path.relative_to(source)}")
    settings = [
        f"dataset_uri={base}/data/test.json", f"run_uri={base}/run", f"limit={NUM_INTERACTIONS}", "shard_turns=8",
        f"engine.model_uri={MODEL}", "engine.generation.max_tokens=24", "max_interactions=6", "executor.kind=ray",
        f"ray.py_executable={PREDICT_PYTHON}", "ray.num_cpus_per_engine=0.5", "ray.num_gpus_per_engine=0",
    ]  # fmt: skip
    submitter = Submitter(cluster, server.env)
    second: subprocess.Popen[str] | None = None
    try:
        job = submitter.start("submit", "predict", "configs/predict_sample.yaml", *settings)

        def num_done() -> int:
            assert job.poll() is None, job.communicate()[0][-4000:]
            return sum(info.key.endswith(".done") for info in store.list("run/predictions/"))

        wait_for(lambda: num_done() >= 1, 900, "a committed shard")
        [actor] = cluster.workers("ray::MapWorker")
        os.kill(actor, signal.SIGKILL)
        committed = {info.key: store.read(info.key) for info in store.list("run/predictions/") if ".done" in info.key}
        second = cluster.driver("jobs/predict.py", "configs/predict_sample.yaml", *settings, environment=server.env)
        wait_for(lambda: num_done() > len(committed), 900, "a shard committed after the actor was killed")
        server.process.kill()
        time.sleep(20)
        server.start()
        output = job.communicate(timeout=1800)[0]
        assert job.returncode == 0, output[-4000:]
        second_output = second.communicate(timeout=1800)[0]
        assert second.returncode == 0, second_output[-4000:]
    finally:
        submitter.close()
        if second is not None:
            second.kill()
            second.communicate()
    asked = [
        [(turn["question_id"], turn["question"], entry["db_list"][0]) for turn in entry["interaction"]]
        for entry in json.loads((source / "test.json").read_bytes())[:NUM_INTERACTIONS]
    ]
    answered = json.loads(store.read("run/predictions.json"))
    assert [[(t["question_id"], t["question"], t["db_id"]) for t in one] for one in answered] == asked
    assert {key: store.read(key) for key in committed} == committed
    assert "0 with an error" in output
    assert cluster.token not in output and server.env["AWS_SECRET_ACCESS_KEY"] not in output
    wait_for(lambda: not engine_processes(), 15, "the end of all engine processes")
