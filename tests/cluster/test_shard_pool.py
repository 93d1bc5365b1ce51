"""The pool of engines on a real cluster, with a runner that commits files (pool_driver.py)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.ray_cluster import RayCluster, is_alive, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]

START_S = 200
"""An actor's process and its imports: 5 s alone, far longer while others use the machine."""


def start(cluster: RayCluster, folder: Path, num_shards: int, *settings: str) -> subprocess.Popen[str]:
    words = ["ray.num_cpus_per_engine=0.1", "ray.wait_for_resources_s=60", *settings]
    return cluster.driver("tests/cluster/pool_driver.py", str(folder), str(num_shards), *words)


def output_of(driver: subprocess.Popen[str], timeout_s: float = 400) -> str:
    try:
        return driver.communicate(timeout=timeout_s)[0]
    finally:
        driver.kill()


def done(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.done"))


def test_every_shard_comes_back_two_at_a_time_although_an_actor_is_killed(cluster: RayCluster, tmp_path: Path) -> None:
    driver = start(cluster, tmp_path, 12, "engine.scripted.delay_s=0.6", "executor.num_engines=2")
    wait_for(lambda: len(done(tmp_path)) >= 2, START_S, "two committed shards")
    in_hand = [path for path in tmp_path.glob("*.try-1") if not path.with_suffix(".done").exists()]
    began = max(in_hand, key=lambda path: path.stat().st_mtime_ns)  # the newest has more than a second to go
    killed = int(began.read_text(encoding="utf-8").split()[0])
    os.kill(killed, signal.SIGKILL)
    output = output_of(driver)

    assert driver.returncode == 0, output
    assert done(tmp_path) == [f"shard-{index:05d}-of-00012" for index in range(12)]
    tries = {path.name: path.read_text(encoding="utf-8").split() for path in tmp_path.glob("*.try-*")}
    assert tries[began.with_suffix(".try-2").name][0] != str(killed), (
        "the shard in its hands was run by another process"
    )
    assert {int(number) for _, number in tries.values()} == {1, 2}, "two in each engine, never more"
    surely_seen = {name.removesuffix(".try-1") for name, (pid, _) in tries.items() if int(pid) != killed}
    expected = {f"{int(name[6:11])}-{turn}" for name in surely_seen for turn in (0, 1)}
    assert expected <= set(json.loads((tmp_path / "turns.json").read_bytes())), "progress hears of every turn"
    closed = {path.stem for path in tmp_path.glob("*.closed")}
    assert closed == {pid for pid, _ in tries.values()} - {str(killed)}, "engines are closed before the pool ends"


def test_a_stop_ends_every_engine_and_the_driver_within_twenty_seconds(cluster: RayCluster, tmp_path: Path) -> None:
    driver = start(cluster, tmp_path, 40, "engine.scripted.delay_s=1", "executor.num_engines=2")
    wait_for(lambda: len(done(tmp_path)) >= 3, START_S, "three committed shards")
    began = time.monotonic()
    driver.terminate()
    output = output_of(driver)

    assert driver.returncode == 3, output
    assert time.monotonic() - began < 20
    assert "error: stopped as asked" in output
    engines = {path.read_text(encoding="utf-8").split()[0] for path in tmp_path.glob("*.try-*")}
    assert {path.stem for path in tmp_path.glob("*.closed")} == engines
    assert len(done(tmp_path)) < 40
    wait_for(lambda: not any(is_alive(int(pid)) for pid in engines), 10, f"the end of the actors {engines}")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("AccessRefused", r"^error: shard-00001-of-00004 fails as told: 存储坏了$"),
        (
            "OurMistake",
            r"^error: unexpected AssertionError: shard-00001-of-00004 fails as told: 存储坏了",
        ),
    ],
)
def test_an_error_in_an_actor_ends_the_job_with_one_line(
    cluster: RayCluster, tmp_path: Path, kind: str, line: str
) -> None:
    (tmp_path / "fault").write_text(f"shard-00001-of-00004 {kind}", encoding="utf-8")
    driver = start(cluster, tmp_path, 4, "engine.scripted.delay_s=0.1", "executor.num_engines=1")
    output = output_of(driver)

    assert driver.returncode == 1, output
    assert len(re.findall(r"^error:", output, re.MULTILINE)) == 1, output
    assert re.search(line, output, re.MULTILINE), output
    assert list(tmp_path.glob("*.closed")), "the engine is closed"
