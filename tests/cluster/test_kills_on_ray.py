"""Kill -9 launcher, driver, actor or engine, at any moment: the result is byte for byte that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.ray_cluster import RayCluster, command_of, wait_for
from tests.small_dataset import write_dataset
from tests.test_predict import config, rows, run

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(3600)]

NUM_KILLS = 50


def test_fifty_random_kills_of_launcher_driver_actor_and_engine_change_nothing(
    cluster: RayCluster, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "data", interactions_per_database=700)
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    # Small shards: three kills inside one would rightly count as its own fault.
    scripted = {"process": True, "delay_s": 0.05, "die_on": f"no question holds {tmp_path.name}"}
    engine = {"kind": "scripted", "scripted": scripted}
    settings = config(dataset, engine=engine, max_interactions=6, shard_turns=12, executor={"kind": "ray"})
    settings_file = tmp_path / "predict.yaml"
    settings_file.write_text(settings.model_dump_json(exclude={"models_dir"}), encoding="utf-8")
    on_ray = ["ray.num_cpus_per_engine=0.1", "executor.num_engines=2", "ray.wait_for_resources_s=120"]

    def engines() -> list[int]:
        words = [(pid, command_of(pid)) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))]
        return [pid for pid, word in words if "t2s.engine.scripted_process" in word and tmp_path.name in word]

    def launch() -> subprocess.Popen[str]:
        with (tmp_path / "launcher.log").open("a") as log:
            words = ["jobs/predict.py", str(settings_file), *on_ray]
            return cluster.driver(*words, output=log)

    def any_of(found: Callable[[], list[int]], ended: Callable[[], int | None]) -> bool:
        return bool(found()) or ended() is not None

    victims: dict[str, Callable[[], list[int]]] = {
        "launcher": lambda: [launcher.pid],
        "driver": lambda: cluster.workers("ray::JobDriver"),
        "actor": lambda: cluster.workers("ray::MapWorker"),
        "engine": engines,
    }
    rng = random.Random(7)
    killed: Counter[str] = Counter()
    launcher = launch()
    try:
        while killed.total() < NUM_KILLS:
            wait_for(partial(any_of, engines, launcher.poll), 180, "an engine, or the launcher's end")
            time.sleep(rng.uniform(0, 1.0))
            assert launcher.poll() != 0, "the run was over before all kills were done: make the set larger"
            if launcher.poll() is not None:  # drivers died three times in a row: that is the job's end, and resumed
                launcher = launch()
                continue
            victim = rng.choice(list(victims))
            pids = victims[victim]()
            if pids:
                killed[victim] += 1
                os.kill(rng.choice(pids), signal.SIGKILL)
            if victim == "launcher":
                launcher.wait()
                wait_for(lambda: not engines(), 30, "the end of the engines of a killed launcher")
                launcher = launch()
        committed = {path: path.read_bytes() for path in Path(settings.run_uri, "predictions").glob("*.done")}
        if launcher.wait(600) != 0:
            launcher = launch()
            assert launcher.wait(600) == 0, (tmp_path / "launcher.log").read_text(encoding="utf-8")[-4000:]
    finally:
        launcher.kill()
        launcher.wait()
    assert all(path.read_bytes() == data for path, data in committed.items())
    assert rows(settings) == rows(undisturbed)
    left, right = (Path(one.run_uri, "predictions.json").read_bytes() for one in (settings, undisturbed))
    assert left == right
    assert min(killed[victim] for victim in victims) >= 5, killed
    wait_for(lambda: not engines(), 15, "the end of all engines")
