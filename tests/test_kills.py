"""Kill -9 anything, at any moment: the result is byte for byte that of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.small_dataset import write_dataset
from tests.test_predict import config, rows, run

ROOT = Path(__file__).resolve().parents[1]


def command(settings_file: Path) -> list[str]:
    return [sys.executable, str(ROOT / "jobs" / "predict.py"), str(settings_file)]


@contextmanager
def driver(settings_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (settings_file.parent / "driver.log").open("ab") as log:
        process = subprocess.Popen(command(settings_file), cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def engine_processes(settings_file: Path) -> list[int]:
    """Engine processes of drivers that use this settings file; the run's uri is part of their command line."""
    marker = settings_file.parent.name.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"t2s.engine.scripted_process" in words and marker in words:
            found.append(int(entry.name))
    return found


def wait_for_engine(settings_file: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not engine_processes(settings_file):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_gone(settings_file: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while engine_processes(settings_file):
        assert time.monotonic() < deadline, f"engine processes left: {engine_processes(settings_file)}"
        time.sleep(0.05)


def disturb(tmp_path: Path, num_kills: int, interactions_per_database: int, seed: int) -> dict[str, int]:
    dataset = write_dataset(tmp_path / "data", interactions_per_database=interactions_per_database)
    undisturbed = config(dataset, "undisturbed")
    run(undisturbed)
    # The unused table of answers puts this test's name into the engine's command line.
    scripted = {"process": True, "delay_s": 0.05, "die_on": f"no question holds {tmp_path.name}"}
    settings = config(dataset, engine={"kind": "scripted", "scripted": scripted}, max_interactions=6)
    settings_file = tmp_path / "predict.yaml"
    settings_file.write_text(settings.model_dump_json(exclude={"models_dir"}), encoding="utf-8")

    rng = random.Random(seed)
    killed = {"driver": 0, "engine": 0}
    while sum(killed.values()) < num_kills:
        with driver(settings_file) as process:
            while sum(killed.values()) < num_kills:
                wait_for_engine(settings_file, process)
                time.sleep(rng.uniform(0, 1.0))
                assert process.poll() is None, "the run was over before all kills were done: make the set larger"
                victim = rng.choice(["driver", "engine"])
                if victim == "driver":
                    killed["driver"] += 1
                    process.kill()
                    process.wait()
                    break
                for pid in engine_processes(settings_file):
                    os.kill(pid, signal.SIGKILL)
                    killed["engine"] += 1
        wait_until_gone(settings_file, 5)
    committed = {path: path.read_bytes() for path in Path(settings.run_uri, "predictions").glob("*.done")}
    with driver(settings_file) as process:
        assert process.wait(timeout=300) == 0, (tmp_path / "driver.log").read_text(encoding="utf-8")[-3000:]
    wait_until_gone(settings_file, 5)
    assert all(path.read_bytes() == data for path, data in committed.items())
    assert rows(settings) == rows(undisturbed)
    left, right = (Path(one.run_uri, "predictions.json").read_bytes() for one in (settings, undisturbed))
    assert left == right
    return killed


def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    disturb(tmp_path, num_kills=4, interactions_per_database=100, seed=5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_random_kills_of_driver_and_engine_change_nothing(tmp_path: Path) -> None:
    killed = disturb(tmp_path, num_kills=50, interactions_per_database=600, seed=11)
    assert min(killed.values()) >= 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: signal.Signals(number).name)
def test_a_signal_ends_within_twenty_seconds_with_exit_code_3_and_the_same_command_resumes(
    tmp_path: Path, number: signal.Signals
) -> None:
    dataset = write_dataset(tmp_path / "data")
    scripted = {"process": True, "delay_s": 0.3, "die_on": f"no question holds {tmp_path.name}"}
    settings = config(dataset, engine={"kind": "scripted", "scripted": scripted}, max_interactions=6)
    settings_file = tmp_path / "predict.yaml"
    settings_file.write_text(settings.model_dump_json(exclude={"models_dir"}), encoding="utf-8")
    with driver(settings_file) as process:
        deadline = time.monotonic() + 60
        while not list(Path(settings.run_uri).glob("predictions/*.done")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        stopped = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == 3
        assert time.monotonic() - stopped < 20
    wait_until_gone(settings_file, 1)
    log = (tmp_path / "driver.log").read_text(encoding="utf-8")
    assert "Traceback" not in log and "error: stopped" in log
    with driver(settings_file) as process:
        assert process.wait(timeout=60) == 0
    assert len(json.loads(Path(settings.run_uri, "predictions.json").read_bytes())) == 24
