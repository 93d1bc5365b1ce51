"""jobs/train.py with executor.kind ray on a real cluster: what no node offers, and a node that is taken away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ray_cluster import RayCluster, command_of, parent_of, wait_for

ROOT = Path(__file__).resolve().parents[2]
TRAIN_PYTHON = ROOT / ".venvs" / "train" / "bin" / "python"
INPUT = "from pathlib import Path; from tests.training import tiny; folder = Path({!r}); "
INPUT += "tiny.write_model(folder / 'model'); tiny.write_prepared(folder / 'prepared')"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


def train(cluster: RayCluster, folder: Path, *settings: str) -> subprocess.Popen[str]:
    """The launcher, with its output in `folder/log`."""
    words = [f"dataset_uri={folder}/prepared", f"model_uri={folder}/model", f"run_uri={folder}/run"]
    words += [f"cache_dir={folder}/cache", "executor.kind=ray", "ray.num_gpus_per_worker=0"]
    with (folder / "log").open("a", encoding="utf-8") as log:
        return cluster.driver("jobs/train.py", *words, *settings, output=log)


def test_what_no_node_offers_is_an_error_within_a_minute_that_says_what_there_is(
    cluster: RayCluster, tmp_path: Path
) -> None:
    began = time.monotonic()
    job = train(cluster, tmp_path, "ray.wait_for_resources_s=90")
    try:
        code = job.wait(300)
    finally:
        job.kill()
    output = (tmp_path / "log").read_text(encoding="utf-8")
    assert code == 1, output
    assert time.monotonic() - began < 60
    [line] = re.findall(r"^error: .*$", output, re.MULTILINE)
    assert "the driver of train wants a node with t2s_train 0.001" in line
    assert "1 × (CPU 2), 1 × (CPU 2, t2s_predict 1)" in line
    assert not (tmp_path / "run").exists()


@pytest.fixture
def train_cluster() -> Iterator[RayCluster]:
    """Two nodes that offer `t2s_train`, each with room for one worker beside the driver."""
    if not TRAIN_PYTHON.exists():
        pytest.skip("needs the train environment: make setup-train")
    with RayCluster(num_cpus=0) as cluster:
        for _ in range(2):
            cluster.add_node({"t2s_train": 1}, num_cpus=1)
        yield cluster


def done_steps(run: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in run.glob("train/checkpoints/*.done"))


def resumed_from(output: str) -> list[int]:
    return [int(step) for step in re.findall(r"going on from the checkpoint of step (\d+)", output)]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Settings of a training that takes a minute, of a tiny model that is made here."""
    subprocess.run([TRAIN_PYTHON, "-c", INPUT.format(str(tmp_path))], cwd=ROOT, check=True, capture_output=True)
    block = {"template": "chatml", "max_steps": 400, "save_steps": 20, "learning_rate": 1e-2, "report_to": "none"}
    return [f"llamafactory={json.dumps(block)}", f"ray.py_executable={TRAIN_PYTHON}", "ray.num_workers=1"]


def begun(cluster: RayCluster, folder: Path, words: list[str]) -> subprocess.Popen[str]:
    """A launched training that has stored the checkpoint of step 40."""
    job = train(cluster, folder, *words)
    try:
        wait_for(
            lambda: max(done_steps(folder / "run"), default=0) >= 40 or job.poll() is not None, 900, "a checkpoint"
        )
        assert job.poll() is None, (folder / "log").read_text(encoding="utf-8")
    except BaseException:
        job.kill()
        raise
    return job


@pytest.mark.slow
def test_a_node_that_is_taken_away_costs_at_most_a_checkpoint_interval(
    train_cluster: RayCluster, words: list[str], tmp_path: Path
) -> None:
    job = begun(train_cluster, tmp_path, words)
    try:
        [worker] = train_cluster.workers("RayTrainWorker")
        raylet = parent_of(worker)
        assert "raylet" in command_of(raylet)
        os.kill(raylet, signal.SIGKILL)  # and with it whatever else is on that node, the driver perhaps
        last_done = max(done_steps(tmp_path / "run"))
        code = job.wait(900)
    finally:
        job.kill()
    output = (tmp_path / "log").read_text(encoding="utf-8")
    assert code == 0, output
    assert resumed_from(output) and min(resumed_from(output)) >= last_done
    history = json.loads((tmp_path / "run" / "train" / "history.json").read_bytes())
    assert [entry["step"] for entry in history if "loss" in entry] == list(range(1, 401))
    assert (tmp_path / "run" / "adapter" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_launcher_that_is_stopped_has_its_workers_save_first(
    train_cluster: RayCluster, words: list[str], tmp_path: Path
) -> None:
    job = begun(train_cluster, tmp_path, words)
    try:
        job.send_signal(signal.SIGTERM)
        code = job.wait(150)
    finally:
        job.kill()
    output = (tmp_path / "log").read_text(encoding="utf-8")
    assert code == 3, output
    saved = max(done_steps(tmp_path / "run"))
    assert f"error: stopped at step {saved} of 400; its checkpoint is stored" in output
    wait_for(lambda: not train_cluster.workers("RayTrainWorker"), 60, "the end of the workers")

    job = train(train_cluster, tmp_path, *words)
    try:
        assert job.wait(900) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        job.kill()
    assert resumed_from((tmp_path / "log").read_text(encoding="utf-8")) == [saved]
