"""jobs/predict.py with executor.kind ray on a real cluster: where its real driver is, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.ray_cluster import RayCluster, command_of, parent_of, wait_for
from tests.small_dataset import write_dataset

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]

START_S = 200
ON_RAY = ("executor.kind=ray", "ray.num_cpus_per_engine=0.1", "ray.wait_for_resources_s=90")


def predict(cluster: RayCluster, dataset: Path, run: Path, *settings: str, **variables: str) -> subprocess.Popen[str]:
    words = (f"dataset_uri={dataset}", f"run_uri={run}", "engine.kind=scripted", "shard_turns=6", *settings)
    return cluster.driver("jobs/predict.py", *words, environment=variables)


def ended(job: subprocess.Popen[str], timeout_s: float = 400) -> str:
    """What it printed, to its end."""
    try:
        return job.communicate(timeout=timeout_s)[0]
    finally:
        job.kill()


def error_lines(output: str) -> list[str]:
    return re.findall(r"^error: .*$", output, re.MULTILINE)


def rows(run: Path) -> list[tuple[Any, ...]]:
    """What is committed, without the attempts' numbers: (shard, its halves, its rows)."""
    found = []
    for path in sorted(run.glob("predictions/*.done")):
        done = json.loads(path.read_bytes())
        body = b"" if done["split"] else path.with_suffix(f".attempt-{done['attempt']}").read_bytes()
        found.append((path.stem, done["split"], body))
    return found


def test_a_run_whose_driver_and_engine_are_killed_equals_an_undisturbed_local_one(
    cluster: RayCluster, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    # One interaction kills its engine each time: its shard is taken apart, its turns are errors, the rest goes on.
    deadly = ("engine.scripted.die_on=第5组第1问", "max_error_rate=1", "limit=20")
    local = predict(cluster, dataset, tmp_path / "local", *deadly)
    assert "60 turns, 9 with an error" in ended(local)

    run = tmp_path / "on_ray"
    job = predict(cluster, dataset, run, *deadly, *ON_RAY, "engine.scripted.delay_s=0.4", "max_interactions=3")
    wait_for(lambda: any(run.glob("predictions/*.done")), START_S, "a committed shard")
    [engine] = cluster.workers("ray::MapWorker")
    [driver] = cluster.workers("ray::JobDriver")
    assert "t2s_predict" in command_of(parent_of(driver)), "its raylet is the one that offers the resource"
    os.kill(engine, signal.SIGKILL)
    time.sleep(1)
    os.kill(driver, signal.SIGKILL)
    output = ended(job)

    assert job.returncode == 0, output
    assert "the driver of predict died, starting it again" in output
    assert rows(run) == rows(tmp_path / "local")
    assert (run / "predictions.json").read_bytes() == (tmp_path / "local" / "predictions.json").read_bytes()
    assert "60 turns, 9 with an error" in output, "the driver's last lines arrive too"
    wait_for(lambda: not cluster.workers("ray::JobDriver"), 30, "the end of the driver that Ray was told to kill")
    assert json.loads((run / "predict" / "status.json").read_bytes())["state"] == "done"


def test_what_no_node_offers_is_an_error_within_a_minute_that_says_what_there_is(
    cluster: RayCluster, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "dataset", num_databases=1, interactions_per_database=1)
    began = time.monotonic()
    job = predict(cluster, dataset, tmp_path / "run", *ON_RAY, "ray.resource=t2s_nirgends")
    output = ended(job)

    assert time.monotonic() - began < 60
    assert job.returncode == 1, output
    [line] = error_lines(output)
    assert "wants a node with t2s_nirgends 0.001" in line
    assert "1 × (CPU 2), 1 × (CPU 2, t2s_predict 1)" in line
    assert not (tmp_path / "run").exists()


def test_an_error_of_the_driver_comes_back_as_its_own_line_and_exit_code(cluster: RayCluster, tmp_path: Path) -> None:
    job = predict(cluster, tmp_path / "没有.json", tmp_path / "run", *ON_RAY, f"databases_uri={tmp_path}")
    output = ended(job)

    assert job.returncode == 2, output
    [line] = error_lines(output)
    assert "没有.json" in line
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("settings", "variables", "line"),
    [
        (["ray.address=127.0.0.1:1"], {}, r"127.0.0.1:1: wanted a running Ray cluster, found no answer"),
        (
            [],
            {"RAY_AUTH_TOKEN": "0" * 32},
            r"guarded by a token, and this process has none or a wrong one: set RAY_AUTH",
        ),
    ],
)
def test_a_cluster_that_does_not_answer_or_refuses_is_one_line(
    cluster: RayCluster, tmp_path: Path, settings: list[str], variables: dict[str, str], line: str
) -> None:
    job = predict(cluster, tmp_path / "data.json", tmp_path / "run", *ON_RAY, *settings, **variables)
    output = ended(job)

    assert job.returncode == 1, output
    assert re.search(line, error_lines(output)[0]), output
